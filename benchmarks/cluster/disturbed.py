"""How long a page of jobs takes while one client does its worst: the 99th percentile."""

from __future__ import annotations

import io
import json
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event as Flag
from typing import Any

import httpx2
import numpy as np

from benchmarks.cluster import filling
from benchmarks.cluster.processes import Cluster
from benchmarks.record import Table, keeps
from featherweight.specs.states import Phase
from store import session
from store.access import tokens
from store.jobs import jobs

REQUESTS = 400
JOBS = 50
STREAMS = 400
IDLE = 32
HALF_OPEN = 500
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


@keeps(
    "cluster/disturbed",
    "How much slower is a page of jobs while one client does its worst?",
    headline=("blanks in a constraint", "400 event streams of one token"),
)
def main(table: Table) -> None:
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
        table.add(
            {
                "disturbance": name,
                "p99, ms": round(during, 1),
                "p99 without, ms": round(alone, 1),
                "ratio (bound: 3)": round(during / alone, 1),
            }
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


def blanks(target: Target, begun: Flag) -> None:
    """A constraint of half a mebibyte of blanks, again and again."""
    job = {**_JOB, "constraints": ["accuracy >= 1" + " " * 500_000 + "x"]}
    _post_for_ever(target, begun, "/v1/jobs?dry_run=true", json.dumps(job), "application/json")


def unknown_fields(target: Target, begun: Flag) -> None:
    """Sixty thousand fields that no job has."""
    job = {**_JOB, **{f"field{number}": number for number in range(60_000)}}
    _post_for_ever(target, begun, "/v1/jobs?dry_run=true", json.dumps(job), "application/json")


def choices(target: Target, begun: Flag) -> None:
    """A job whose knobs have as many choices as a document may hold, submitted in earnest."""
    given = {"ratio": {"choices": [number / 1000 for number in range(999)]}}
    job = {**_JOB, "techniques": {"filter_pruning": given, "quantization": {}}}
    _post_for_ever(target, begun, "/v1/jobs", json.dumps(job), "application/json")


def yaml_aliases(target: Target, begun: Flag) -> None:
    """Six levels of merge keys, nine aliases each."""
    lines = ["a0: &a0 {" + ", ".join(f"k{number}: 1" for number in range(9)) + "}"]
    for level in range(1, 7):
        aliases = ",".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {{<<: [{aliases}]}}")
    path = "/v1/jobs?dry_run=true"
    _post_for_ever(target, begun, path, "\n".join(lines), "application/yaml")


def idle_uploads(target: Target, begun: Flag) -> None:
    """As many uploads as a client may have send one byte and wait; whoever is cut comes again."""
    with httpx2.Client(
        base_url=target.url, headers={"Authorization": target.authorization}, timeout=60
    ) as client:
        uploads = [_begun_upload(client) for _ in range(IDLE)]
    while True:
        with ExitStack() as lines:
            for upload in uploads:
                line = lines.enter_context(_connected(target))
                line.sendall(
                    f"PATCH /v1/uploads/{upload} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                    f"Authorization: {target.authorization}\r\nUpload-Offset: 0\r\n"
                    "Content-Length: 1000\r\n\r\nx".encode()
                )
            begun.set()
            time.sleep(5)


def half_headers(target: Target, begun: Flag) -> None:
    """Five hundred connections of nobody with half a header; whoever is closed comes again."""
    while True:
        with ExitStack() as lines:
            for _ in range(HALF_OPEN):
                line = lines.enter_context(_connected(target))
                line.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: 127")
            begun.set()
            time.sleep(5)


def unpacking(target: Target, begun: Flag) -> None:
    """Datasets of a few kilobytes that unpack to a gigabyte."""
    images = np.zeros((1_000_000, 1, 32, 32), np.uint8)
    packed = io.BytesIO()
    np.savez_compressed(packed, x_train=images[:300_000], y_train=np.zeros(300_000, np.int64))
    headers = {"Authorization": target.authorization}
    with httpx2.Client(base_url=target.url, headers=headers, timeout=60) as client:
        while True:
            begun.set()
            client.post(
                "/v1/datasets",
                data={"spec": json.dumps({"name": "large"})},
                files={"file": ("large.npz", packed.getvalue())},
            )


def _begun_upload(client: httpx2.Client) -> str:
    return client.post("/v1/uploads", json={"size_bytes": 1000}).raise_for_status().json()["id"]


def _connected(target: Target) -> socket.socket:
    return socket.create_connection(("127.0.0.1", target.port), timeout=10)


def _post_for_ever(target: Target, begun: Flag, path: str, body: str, kind: str) -> None:
    headers = {"Authorization": target.authorization, "Content-Type": kind}
    with httpx2.Client(base_url=target.url, headers=headers, timeout=120) as client:
        while True:
            begun.set()
            client.post(path, content=body)


_JOB: dict[str, Any] = {
    "data": "digits",
    "model": {"architecture": {}, "epochs": 1},
    "techniques": {"quantization": {}},
    "objectives": ["maximise accuracy"],
}
DISTURBANCES: dict[str, Disturb] = {
    "blanks in a constraint": blanks,
    "60,000 unknown fields": unknown_fields,
    "a job of 999 choices": choices,
    "aliases in YAML": yaml_aliases,
    "32 idle uploads": idle_uploads,
    "500 half headers": half_headers,
    "small archives that unpack large": unpacking,
    "400 event streams of one token": event_streams,
}
"""Each is one client; a further one is a function of a module and a line here."""


if __name__ == "__main__":
    main()
