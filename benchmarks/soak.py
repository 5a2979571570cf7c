"""Random ``kill -9`` of every process while jobs run, then every other drill, one by one.

``python -m benchmarks.soak --kills 60`` starts service, searcher and workers, keeps jobs in the
queue, kills a random process every few seconds and starts it again, and then checks the store:
nothing lost, nothing double, exact budgets. The drills of ``benchmarks.cluster.drills`` follow,
each on a cluster of its own; they need root, for a disk that can be filled. ``--only kills`` or a
drill's name runs a part.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import time
from pathlib import Path

from benchmarks.cluster.drills import DRILLS, Drill
from benchmarks.cluster.processes import Cluster
from benchmarks.record import Table, recorded
from featherweight.client.client import Client
from featherweight.errors import ServiceUnavailable
from featherweight.jobfile import JobFile, read

JOB = """
name: soak
model: {architecture: {widths: [8, 16], depths: [1, 1]}, epochs: 2}
data: {sample: digits}
techniques: {filter_pruning: {}, distillation: {}, quantization: {}}
objectives: [maximise accuracy, minimise size_bytes]
budget: {trials: 12, parallel_trials: 4}
early_stopping: {rungs: [0, 1], eta: 2}
finish: {trials: 2}
"""


def main() -> None:
    """Kill until enough was killed, let the jobs end, check every promise; then the drills."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds-between", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["kills", *DRILLS])
    options = parser.parse_args()
    question = "Is anything lost or done twice when processes are killed and disks fail?"
    with recorded("cluster/soak", question, seeds=(options.seed,)) as table:
        if options.only in (None, "kills"):
            _kill(table, options)
        for name, drill in DRILLS.items():
            if options.only in (None, name):
                said = _drilled(drill)
                print(f"{name}: {said}", flush=True)
                table.add({"drill": name, "outcome": said})


def _drilled(drill: Drill) -> str:
    with drill.cluster() as cluster, Client(cluster.url) as client:
        cluster.wait_healthy()
        path = cluster.folder / "soak.yaml"
        path.write_text(JOB)
        return drill.run(cluster, client, read(path))


def _kill(table: Table, options: argparse.Namespace) -> None:
    rng = random.Random(options.seed)
    with Cluster(workers=2) as cluster:
        cluster.wait_healthy()
        client = Client(cluster.url)
        path = cluster.folder / "soak.yaml"
        path.write_text(JOB)
        job = read(path)
        submitted: list[str] = []
        killed: dict[str, int] = {}
        for number in range(options.kills):
            _keep_busy(client, job, submitted)
            time.sleep(rng.uniform(0.2, 2 * options.seconds_between))
            kind = cluster.kill_one(rng)
            killed[kind] = killed.get(kind, 0) + 1
            print(f"kill {number + 1}: {kind}", flush=True)
        states = [_wait(client, job) for job in submitted]
        _check(cluster.folder / "featherweight.db", submitted)
    print(f"{sum(killed.values())} kills {killed}; {len(states)} jobs ended: {sorted(set(states))}")
    print("0 lost, 0 double, every budget exact")
    outcome = f"0 lost, 0 double, every budget exact: {len(states)} jobs"
    table.add({"drill": f"{sum(killed.values())} kills", "outcome": outcome})


def _keep_busy(client: Client, job: JobFile, submitted: list[str]) -> None:
    try:
        unfinished = [job for job in client.jobs() if not job.state.is_finished]
        if len(unfinished) < 2:
            spec = job.resolve(client).model_copy(update={"seed": len(submitted)})
            submitted.append(client.submit(spec).id)
    except ServiceUnavailable:
        return


def _wait(client: Client, job: str) -> str:
    until = time.monotonic() + 900
    while time.monotonic() < until:
        try:
            state = client.job(job).state
            if state.is_finished:
                return str(state)
        except ServiceUnavailable:
            pass
        time.sleep(1)
    raise TimeoutError(f"job {job} did not end")


def _check(path: Path, submitted: list[str]) -> None:
    """Raise on the first promise that was broken."""
    database = sqlite3.connect(path)
    for job in submitted:
        total, finished = database.execute(
            "select count(*), sum(state in ('complete', 'stopped', 'failed')) from fw_trials"
            " where job_id = ?",
            (job,),
        ).fetchone()
        if (total, finished) != (12, 12):
            raise AssertionError(
                f"job {job}: {finished} of {total} trials ended, expected 12 of 12"
            )
    double = database.execute(
        # An attempt that delivered a failure says which; the trial was then tried again.
        "select trial_id, count(*) from fw_attempts where state = 'delivered' and detail = ''"
        " group by trial_id having count(*) > 1"
    ).fetchall()
    if double:
        raise AssertionError(f"delivered more than once: {double}")
    gaps = database.execute(
        "select job_id from fw_events group by job_id having max(seq) <> count(*)"
    ).fetchall()
    if gaps:
        raise AssertionError(f"events with gaps: {gaps}")


if __name__ == "__main__":
    main()
