"""Processor time of the first and the second request for what a job of 3,000 trials has found."""

from __future__ import annotations

import httpx2

from benchmarks.cluster import filling
from benchmarks.cluster.processes import Cluster
from benchmarks.record import Cell, Table, keeps
from featherweight.specs.states import Phase
from store import session
from store.jobs import jobs

TRIALS = 3000
ROUNDS = 4
REPEATS = 50
PATHS = ("front", "recommendation", "report")


@keeps("cluster/looks", "What does it cost to ask again while nothing has changed (3,000 trials)?")
def main(table: Table) -> None:
    """Print both for every answer, with the bound of the design."""
    with Cluster(workers=0, searcher=False) as cluster:
        cluster.wait_healthy()
        database = session.open_database(cluster.database_url)
        filling.add_dataset(database, cluster.folder / "files")
        small, large = (filling.add_measured_job(database, count) for count in (10, TRIALS))
        with httpx2.Client(base_url=cluster.url, timeout=60) as client:
            for path in PATHS:
                client.get(f"/v1/jobs/{small}/{path}").raise_for_status()
            for path in PATHS:
                row = _compare(cluster, client, database, f"/v1/jobs/{large}/{path}", large)
                table.add(row | {"bound": "20 ms, 1/20"})
        database.dispose()


def _compare(
    cluster: Cluster, client: httpx2.Client, database: session.Database, address: str, job_id: str
) -> dict[str, Cell]:
    first = again = known = 0.0
    for _ in range(ROUNDS):
        with database.write() as s:
            jobs.set_phase(s, jobs.get(s, job_id), Phase.SEARCH)
        first += _cpu_ms(cluster, client, address, repeats=1)
        again += _cpu_ms(cluster, client, address, repeats=REPEATS)
        tag = client.get(address).headers["ETag"]
        known += _cpu_ms(cluster, client, address, repeats=REPEATS, tag=tag)
    print(
        f"{address.rsplit('/')[-1]:15} after a change {first / ROUNDS:6.0f} ms, "
        f"again {again / ROUNDS:5.1f} ms, with its tag {known / ROUNDS:5.1f} ms, "
        f"ratio 1 / {first / again:.0f} (bounds: 20 ms, 1 / 20)"
    )
    return {
        "answer, ms of CPU": address.rsplit("/")[-1],
        "after a change": round(first / ROUNDS),
        "again": round(again / ROUNDS, 1),
        "with its tag (304)": round(known / ROUNDS, 1),
        "ratio": f"1/{first / again:.0f}",
    }


def _cpu_ms(
    cluster: Cluster, client: httpx2.Client, address: str, *, repeats: int, tag: str = ""
) -> float:
    """Milliseconds that the service takes per request."""
    begin = cluster.service_cpu_seconds()
    for _ in range(repeats):
        answer = client.get(address, headers={"If-None-Match": tag})
        assert answer.status_code == (304 if tag else 200), answer.text
    return 1000 * (cluster.service_cpu_seconds() - begin) / repeats


if __name__ == "__main__":
    main()
