"""A page of trials must cost the same with 100 and with 100,000 of them in the store."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.cluster import filling
from benchmarks.record import Table, keeps
from store import session
from store.database import migrate
from store.jobs import jobs
from store.trials import trials

ROUNDS = 200


@keeps("cluster/listing", "Does a page cost the same with 100,000 trials as with 100?")
def main(table: Table) -> None:
    """Print the median of listing calls on a small and a large store, interleaved."""
    with tempfile.TemporaryDirectory() as name:
        small, large = _filled(Path(name) / "small", 100), _filled(Path(name) / "large", 100_000)
        times: dict[str, list[float]] = {"small": [], "large": []}
        for _ in range(ROUNDS):
            times["small"].append(_page(*small))
            times["large"].append(_page(*large))
        medians = {key: statistics.median(values) * 1e3 for key, values in times.items()}
        small[0].dispose()
        large[0].dispose()
    print(
        f"page of 50 trials + page of jobs, 100 trials in the store     {medians['small']:.2f} ms"
    )
    print(
        f"page of 50 trials + page of jobs, 100,000 trials in the store {medians['large']:.2f} ms"
    )
    ratio = medians["large"] / medians["small"]
    print(f"ratio {ratio:.2f} (bound: the same)")
    table.add(
        {
            "what": "page of 50 trials + page of jobs",
            "100 trials, ms": round(medians["small"], 2),
            "100,000 trials, ms": round(medians["large"], 2),
            "ratio": round(ratio, 2),
            "bound": "the same",
        }
    )


def _filled(folder: Path, count: int) -> tuple[session.Database, str]:
    folder.mkdir()
    url = f"sqlite:///{folder}/featherweight.db"
    migrate.upgrade(url)
    database = session.open_database(url)
    filling.add_dataset(database, folder / "files")
    job_id = ""
    for start in range(0, count, 10_000):
        job_id = filling.add_job(database, min(10_000, count - start))
    return database, job_id


def _page(database: session.Database, job_id: str) -> float:
    began = time.perf_counter()
    with database.read() as s:
        trials.page(s, job_id, limit=50)
        jobs.page(s, limit=50)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
