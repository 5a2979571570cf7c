"""Processor time of the service per event while workers wait for a trial."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import httpx2

from benchmarks.cluster import filling
from benchmarks.cluster.processes import Cluster
from benchmarks.record import Cell, Table, keeps
from featherweight.specs.protocol import ClaimRequest, WorkerInfo
from featherweight.specs.states import Phase
from store import session
from store.jobs import jobs

NUMBERS = (0, 50, 100, 200)
EVENTS = 100
EVERY_SECONDS = 0.1


@keeps("cluster/waiting_workers", "What does an event cost while workers wait for a trial?")
def main(table: Table) -> None:
    """Print milliseconds per event for every number of waiting workers, and the ratios."""
    with Cluster(workers=0, searcher=False) as cluster:
        cluster.wait_healthy()
        database = session.open_database(cluster.database_url)
        filling.add_dataset(database, cluster.folder / "files")
        job_id = filling.add_job(database, 0)
        by_a_client = partial(_by_a_client, cluster, job_id)
        table.add(_measure("events of a client", cluster, by_a_client))
        by_another = partial(_by_another, database, job_id)
        table.add(_measure("events of the searcher", cluster, by_another))
        database.dispose()


def _measure(name: str, cluster: Cluster, tell: Callable[[int], None]) -> dict[str, Cell]:
    found = {}
    for number in NUMBERS:
        with _waiting(cluster, number):
            found[number] = _cpu_ms_per_event(cluster, tell)
    figures = ", ".join(f"{number}: {value:.2f} ms" for number, value in found.items())
    ratio = found[max(NUMBERS)] / found[0]
    print(f"{name}, by waiting workers {figures}; ratio {ratio:.2f} (bound: 2)")
    cells = {f"{number} workers": round(value, 2) for number, value in found.items()}
    return {"ms of CPU per event": name, **cells, "ratio (bound: 2)": round(ratio, 2)}


def _cpu_ms_per_event(cluster: Cluster, tell: Callable[[int], None]) -> float:
    begin = cluster.service_cpu_seconds()
    for number in range(EVENTS):
        tell(number)
        time.sleep(EVERY_SECONDS)
    return 1000 * (cluster.service_cpu_seconds() - begin) / EVENTS


def _by_a_client(cluster: Cluster, job_id: str, number: int) -> None:
    verb = "resume" if number % 2 else "pause"
    httpx2.post(f"{cluster.url}/v1/jobs/{job_id}/{verb}", timeout=30).raise_for_status()


def _by_another(database: session.Database, job_id: str, _: int) -> None:
    """An event of another process, as those of the searcher are; it makes no trial."""
    with database.write() as s:
        jobs.set_phase(s, jobs.get(s, job_id), Phase.SEARCH)


@contextmanager
def _waiting(cluster: Cluster, number: int) -> Iterator[None]:
    """So many workers that have claimed in vain and wait."""
    before = _claims(cluster)
    with ExitStack() as lines:
        for _ in range(number):
            line = lines.enter_context(socket.create_connection(("127.0.0.1", cluster.port)))
            line.sendall(_claim())
        while _claims(cluster) < before + number:
            time.sleep(0.1)
        time.sleep(1)
        yield
    time.sleep(1)


def _claim() -> bytes:
    boot_id = uuid.uuid4().hex
    worker = WorkerInfo(name=boot_id, boot_id=boot_id, device="cpu", threads=1, version="0")
    body = ClaimRequest(worker=worker, wait_seconds=60).model_dump_json().encode()
    head = (
        "POST /v1/attempts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _claims(cluster: Cluster) -> int:
    """How many claims the service has answered or let wait."""
    name = "featherweight_claim_seconds_count "
    lines = httpx2.get(f"{cluster.url}/metrics", timeout=30).text.splitlines()
    return next((int(float(line.removeprefix(name))) for line in lines if line.startswith(name)), 0)


if __name__ == "__main__":
    main()
