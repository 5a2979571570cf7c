"""Processor time of the first and the second request for what a job of 3,000 trials has found."""

from __future__ import annotations

import httpx2

from benchmarks.cluster import filling
from benchmarks.cluster.processes import Cluster
from featherweight.specs.states import Phase
from store import session
from store.jobs import jobs

TRIALS = 3000
ROUNDS = 4
REPEATS = 50
PATHS = ("front", "recommendation", "report")


def main() -> None:
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
                _compare(cluster, client, database, f"/v1/jobs/{large}/{path}", large)
        database.dispose()


def _compare(
    cluster: Cluster, client: httpx2.Client, database: session.Database, address: str, job_id: str
) -> None:
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
