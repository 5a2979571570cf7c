"""Real jobs on digits, sampler by sampler: the front's hypervolume after so many search trials.

``python -m benchmarks.search.sampler_jobs --seeds 4 tpe known_cost random`` runs the job of
``examples/digits.yaml`` through service, searcher and one worker, one candidate at a time, without
finalists. A seed trains the same baseline for every sampler; jobs of one seed follow each other.
Trials that were stopped count with what their last rung gave.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cluster.processes import Cluster
from benchmarks.record import Table, recorded
from compress.values.measurement import Measurement
from featherweight import jobfile, samples
from featherweight.client.client import Client
from featherweight.specs.job import JobSpec
from featherweight.specs.states import Phase
from search.front import front

_MARKS = (10, 15, 20)
_QUESTION = "How much do samplers find in real jobs on digits (hypervolume after so many trials)?"
_EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.yaml"


def main() -> None:
    """A line per job, and one per sampler at the end."""
    parser = argparse.ArgumentParser(prog="benchmarks.search.sampler_jobs", description=__doc__)
    parser.add_argument("samplers", nargs="+")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--trials", type=int, default=25, help="of the search")
    asked = parser.parse_args()
    marks = [*(mark for mark in _MARKS if mark < asked.trials), asked.trials]
    with recorded("search/sampler_jobs", _QUESTION, seeds=range(asked.seeds)) as table:
        _run(table, asked, marks)


def _run(table: Table, asked: argparse.Namespace, marks: Sequence[int]) -> None:
    found: dict[str, list[list[float]]] = {name: [] for name in asked.samplers}
    with Cluster(workers=1) as cluster:
        cluster.wait_healthy()
        client = Client(cluster.url)
        samples.write("digits", cluster.folder / "digits.npz")
        client.upload_dataset(cluster.folder / "digits.npz", name="digits")
        for seed in range(asked.seeds):
            for name, volumes in found.items():
                began = time.perf_counter()
                volumes.append(_volumes(client, _spec(name, seed, asked.trials), marks))
                seconds = time.perf_counter() - began
                print(f"{name:24} seed {seed} {_cells(volumes[-1])}  {seconds:.0f} s", flush=True)
    print("hypervolume after " + ", ".join(map(str, marks)) + " search trials, over the seeds")
    for name, volumes in found.items():
        columns = list(zip(*volumes, strict=True))
        spread = [statistics.stdev(column) if len(column) > 1 else 0.0 for column in columns]
        means = [statistics.fmean(column) for column in columns]
        print(f"{name:24} {_cells(means)}  ± {_cells(spread)}")
        cells = [f"{mean:.4f} ± {off:.4f}" for mean, off in zip(means, spread, strict=True)]
        table.add({"sampler": name, **dict(zip(map(str, marks), cells, strict=True))})


def _cells(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


def _spec(sampler: str, seed: int, trials: int) -> JobSpec:
    fields = jobfile.load(_EXAMPLE)
    changed = {
        "name": sampler,
        "data": "digits",
        "sampler": sampler,
        "seed": seed,
        "budget": {"trials": trials + 1, "parallel_trials": 1},
        "finish": {"trials": 0},
    }
    return JobSpec.model_validate(fields | changed)


def _volumes(client: Client, spec: JobSpec, marks: Sequence[int]) -> list[float]:
    job = client.submit(spec).id
    while not client.job(job).state.is_finished:
        time.sleep(0.5)
    trials = list(client.trials(job))
    baseline = trials[0].measurement
    assert baseline is not None
    measured = [t.measurement for t in trials if t.phase is Phase.SEARCH]
    return [_volume(measured[:mark], spec, baseline) for mark in marks]


def _volume(measured: Sequence[Measurement | None], spec: JobSpec, baseline: Measurement) -> float:
    known = [one for one in measured if one is not None]
    return front.hypervolume(known, objectives=spec.objectives, baseline=baseline)


if __name__ == "__main__":
    main()
