"""Claim and submit over HTTP on SQLite. Bounds: claim p50 under 10 ms, submit p99 under 50 ms."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import httpx2
import numpy as np
from numpy.typing import NDArray

from benchmarks.cluster import filling
from benchmarks.cluster.processes import Cluster
from benchmarks.record import Cell, Table, keeps
from featherweight import __version__
from featherweight.specs.protocol import FENCE_HEADER
from store import session

FloatArray = NDArray[np.float64]
CLAIMS = 300
SUBMITS = 300


@keeps("cluster/store_latency", "How long do claims and submissions take over HTTP, on SQLite?")
def main(table: Table) -> None:
    """Print percentiles, and the ratio to the cheapest answer the service can give."""
    with Cluster(workers=0, searcher=False) as cluster:
        cluster.wait_healthy()
        database = session.open_database(cluster.environment["FEATHERWEIGHT_DATABASE_URL"])
        filling.add_dataset(database, cluster.folder / "files")
        filling.add_job(database, CLAIMS)
        database.dispose()
        with httpx2.Client(base_url=cluster.url, timeout=30) as client:
            empty = _times([lambda: client.get("/healthz")] * 200)
            claim = _claim_times(client)
            submit = _times([lambda: _submit(client)] * SUBMITS)
    _print("healthz", empty, empty)
    table.add(_print("claim", claim, empty) | {"bound": "p50 10 ms"})
    table.add(_print("submit", submit, empty) | {"bound": "p99 50 ms"})


def _claim_times(client: httpx2.Client) -> FloatArray:
    """One worker's claims; between two of them it gives its trial back, unseen by the clock."""
    worker = {
        "name": "bench",
        "boot_id": uuid.uuid4().hex,
        "device": "cpu",
        "threads": 1,
        "version": __version__,
    }
    times = []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        answer = client.post("/v1/attempts", json={"worker": worker, "wait_seconds": 0})
        times.append((time.perf_counter() - began) * 1e3)
        given = answer.raise_for_status().json()
        headers = {FENCE_HEADER: given["token"]}
        client.post(f"/v1/attempts/{given['attempt']}/release", headers=headers).raise_for_status()
    return np.asarray(times)


def _submit(client: httpx2.Client) -> None:
    body = filling.spec(10).model_dump(mode="json")
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    client.post("/v1/jobs", json=body, headers=headers).raise_for_status()


def _times(calls: list[Callable[[], object]]) -> FloatArray:
    times = []
    for call in calls:
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1e3)
    return np.asarray(times)


def _print(name: str, times: FloatArray, empty: FloatArray) -> dict[str, Cell]:
    p50, p99 = (float(value) for value in np.percentile(times, [50, 99]))
    ratio = p50 / float(np.percentile(empty, 50))
    print(f"{name:8} p50 {p50:6.2f} ms   p99 {p99:6.2f} ms   {ratio:.1f}x of an empty answer")
    figures = {"p50, ms": p50, "p99, ms": p99, "of an empty answer": ratio}
    return {"what": name, **{column: round(figure, 2) for column, figure in figures.items()}}


if __name__ == "__main__":
    main()
