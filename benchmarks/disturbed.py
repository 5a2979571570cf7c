"""How long a page of jobs takes while one client does its worst: the 99th percentile."""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event as Flag

import httpx2
import numpy as np

from benchmarks import filling
from benchmarks.processes import Cluster
from featherweight.specs.states import Phase
from store import jobs, session, tokens

REQUESTS = 400
JOBS = 50
STREAMS = 400
EVENTS_PER_SECOND = 10
EVERY_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True)
class Target:
    """The service that is disturbed; another process gets it, so it is plain data."""

    port: int
    database_url: str
    job_id: str
    authorization: str

    @property
    def url(self) -> str:
        """Address of the service."""
        return f"http://127.0.0.1:{self.port}"


Disturb = Callable[[Target, Flag], None]
"""Disturbs until its process is ended, and sets the flag once it does. A function of a module."""


def main() -> None:
    """Print the percentile without and with every disturbance, and their ratio."""
    for name, disturb in DISTURBANCES.items():
        with _cluster() as target:
            before = p99_ms(target)
            with disturbed(target, disturb):
                during = p99_ms(target)
            alone = min(before, p99_ms(target))
        print(
            f"{name}: p99 of a page of jobs {during:.1f} ms, without {alone:.1f} ms, "
            f"ratio {during / alone:.1f} (bound: 3)"
        )


def p99_ms(target: Target) -> float:
    """The 99th percentile of ``GET /v1/jobs`` over one connection, in milliseconds."""
    times = []
    headers = {"Authorization": target.authorization}
    with httpx2.Client(base_url=target.url, headers=headers, timeout=60) as client:
        for _ in range(REQUESTS):
            begin = time.perf_counter()
            client.get("/v1/jobs").raise_for_status()
            times.append(time.perf_counter() - begin)
            time.sleep(EVERY_SECONDS)
    return 1000 * float(np.percentile(times, 99))


@contextmanager
def disturbed(target: Target, disturb: Disturb) -> Iterator[None]:
    """Another process disturbs the service meanwhile."""
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=disturb, args=(target, begun), daemon=True)
    process.start()
    try:
        if not begun.wait(timeout=120):
            raise TimeoutError(f"{disturb.__name__} did not begin within 120 s")
        yield
    finally:
        process.kill()
        process.join()


@contextmanager
def _cluster() -> Iterator[Target]:
    with Cluster(workers=0, searcher=False) as cluster:
        cluster.wait_healthy()
        database = session.open_database(cluster.database_url)
        filling.add_dataset(database, cluster.folder / "files")
        job_id = [filling.add_job(database, 10) for _ in range(JOBS)][-1]
        with database.write() as s:
            _, secret = tokens.create(s, name="bench", scopes=("admin",))
        database.dispose()
        yield Target(
            port=cluster.port,
            database_url=cluster.database_url,
            job_id=job_id,
            authorization=f"Bearer {secret}",
        )


def event_streams(target: Target, begun: Flag) -> None:
    """One token asks for 400 event streams of a job that has events all the time."""
    database = session.open_database(target.database_url)
    with ExitStack() as lines:
        streams = [lines.enter_context(_stream(target)) for _ in range(STREAMS)]
        while True:
            with database.write() as s:
                jobs.set_phase(s, jobs.get(s, target.job_id), Phase.SEARCH)
            time.sleep(1 / EVENTS_PER_SECOND)
            for line in streams:
                _take(line)
            begun.set()


def _stream(target: Target) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", target.port))
    line.sendall(
        f"GET /v1/jobs/{target.job_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: {target.authorization}\r\n\r\n".encode()
    )
    line.setblocking(False)
    return line


def _take(line: socket.socket) -> None:
    try:
        while line.recv(65536):
            pass
    except BlockingIOError:
        return


DISTURBANCES: dict[str, Disturb] = {"400 event streams of one token": event_streams}
"""Each is one client; a further one is a function of a module and a line here."""


if __name__ == "__main__":
    main()
