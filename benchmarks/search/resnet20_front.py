"""A real search at equal seconds: the published ResNet-20 on CIFAR-10, ours against others.

``python -m benchmarks.search.resnet20_front --seconds 3600`` runs one job after the other on this
machine, through service, searcher and one worker, each with the same techniques and the same
seconds:

* ``ours``: a profile first, its allocations, the sampler that ``auto`` takes, early stopping;
* ``front``: the same, and all that nothing dominates climbs, however little room it has left;
* ``whole``: the same, every candidate trained to its end;
* ``tpe`` and ``random``: the same space knob by knob, every candidate trained to its end;
* ``controls``: what the candidates that ``ours`` runs for comparison reach alone: uniform ones and
  a random point.

Validation is the first half of the test sheet, since the checkpoint has seen every training image.
The second half is opened once, for the files on each front. The hypervolume is that of accuracy and
the logarithm of the bytes, as jobs report it (``search.front.front.hypervolume``).
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cluster.processes import Cluster
from benchmarks.data import cifar
from benchmarks.record import Cell, Table, recorded
from compress.evaluation import measure
from compress.tasks.images import ImageData
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.values.measurement import Measurement
from featherweight.client.client import Client
from featherweight.specs.job import JobSpec
from featherweight.specs.objective import Objective
from featherweight.specs.schemas import FrontPoint
from search.front import front

_TECHNIQUES: Mapping[str, Any] = {
    "filter_pruning": {"ratios": {"low": 0.0, "high": 0.5, "step": 0.125}},
    "distillation": {},
    "quantization": {"weight_bits": [8, 4, 3, 2], "activations": "float", "scale_bits": 16},
}
_OBJECTIVES = (
    Objective(metric="accuracy", direction="maximise"),
    Objective(metric="size_bytes", direction="minimise"),
)
_WHOLE: Mapping[str, Any] = {
    "early_stopping": {"rungs": [4]},
    "controls": False,
}
"""No stopping: every candidate is trained to its end."""
ARMS: Mapping[str, Mapping[str, Any]] = {
    "ours": {
        "profile": {"share": 0.5},
        "early_stopping": {"rungs": [1, 4], "eta": 3},
    },
    "front": {
        "profile": {"share": 0.5},
        "early_stopping": {"rungs": [1, 4], "eta": 3, "tie_break": "front", "rounding": "up"},
    },
    "whole": {"profile": {"share": 0.5}, "early_stopping": {"rungs": [4]}},
    "tpe": {"sampler": "tpe", **_WHOLE},
    "random": {"sampler": "random", **_WHOLE},
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a job found. ``test`` is the hypervolume of its front on images never looked at."""

    name: str
    trials: int
    validation: float
    test: float
    points: Sequence[tuple[int, float, float]]
    """Bytes, accuracy on validation and on test, of every file of the front."""


def main() -> None:
    """Run every arm and print what it found."""
    parser = argparse.ArgumentParser(prog="benchmarks.search.resnet20_front", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0, help="per arm")
    parser.add_argument("--train-images", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="file for a copy of the database")
    parser.add_argument("arms", nargs="*", help=f"of {', '.join(ARMS)}; all by default")
    asked = parser.parse_args()
    names = asked.arms or list(ARMS)
    if unknown := set(names) - set(ARMS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(ARMS)}")
    if asked.keep is not None and not asked.keep.parent.is_dir():
        parser.error(f"--keep: there is no folder {asked.keep.parent}")
    question = "What does a search on ResNet-20 find in equal time (hypervolume)?"
    with recorded("search/resnet20_front", question, seeds=(asked.seed,)) as table:
        _compare(table, names, asked)


def _compare(table: Table, names: Sequence[str], asked: argparse.Namespace) -> None:
    data = cifar.images(train_images=asked.train_images)
    with Cluster(workers=1) as cluster:
        cluster.wait_healthy()
        client = Client(cluster.url)
        _upload(client, data, cluster.folder)
        for name in names:
            spec = _spec(name, seconds=asked.seconds, seed=asked.seed)
            for outcome in _run(client, name, spec, data, cluster.folder):
                _show(outcome)
                table.add(_row(outcome, asked.seconds))
            if asked.keep is not None:
                _keep(cluster.folder / "featherweight.db", asked.keep)


def _upload(client: Client, data: ImageData, folder: Path) -> None:
    client.upload_dataset(cifar.save(data, folder), name="cifar10")
    client.upload_model(
        cifar.CHECKPOINT,
        name="resnet20",
        architecture=cifar.architecture(20),
        normalisation=cifar.NORMALISATION,
    )


def _spec(name: str, *, seconds: float, seed: int) -> JobSpec:
    common = {
        "name": name,
        "model": "resnet20",
        "data": "cifar10",
        "techniques": _TECHNIQUES,
        "objectives": _OBJECTIVES,
        "budget": {"trials": 2_000, "seconds": seconds, "parallel_trials": 1},
        "finish": {"trials": 0},
        "seed": seed,
    }
    return JobSpec.model_validate({**common, **ARMS[name]})


def _run(
    client: Client, name: str, spec: JobSpec, data: ImageData, folder: Path
) -> Sequence[Outcome]:
    job = client.submit(spec).id
    while not client.job(job).state.is_finished:
        time.sleep(1.0)
    found = client.front(job)
    assert found.baseline is not None
    baseline = found.baseline.measurement
    trials = [trial for trial in client.trials(job) if trial.origin != "test"]
    tried = sum(trial.measurement is not None for trial in trials)
    outcomes = [_outcome(client, name, tried, found.points, baseline, data, folder)]
    if found.controls:
        outcomes.append(
            _outcome(
                client, "controls", len(found.controls), found.controls, baseline, data, folder
            )
        )
    return outcomes


def _outcome(  # noqa: PLR0913 - one line of the table, part by part
    client: Client,
    name: str,
    trials: int,
    points: Sequence[FrontPoint],
    baseline: Measurement,
    data: ImageData,
    folder: Path,
) -> Outcome:
    assert data.test is not None
    rows: list[tuple[int, float, float]] = []
    for point in points:
        path = client.download(point, folder / name)
        accuracy = measure.accuracy_of_file(path, data.test, task=IMAGE_CLASSIFICATION)
        rows.append((point.size_bytes, point.measurement.value("accuracy"), accuracy))
    on_test = [
        point.measurement.model_copy(update={"accuracy": {"validation": row[2]}})
        for point, row in zip(points, rows, strict=True)
    ]
    return Outcome(
        name=name,
        trials=trials,
        validation=_volume([point.measurement for point in points], baseline),
        test=_volume(on_test, baseline),
        points=rows,
    )


def _keep(database: Path, copy: Path) -> None:
    """A copy of the tables as they are, with all arms so far."""
    with closing(sqlite3.connect(database)) as ours, closing(sqlite3.connect(copy)) as theirs:
        ours.backup(theirs)


def _volume(measured: Sequence[Measurement], baseline: Measurement) -> float:
    return front.hypervolume(measured, objectives=_OBJECTIVES, baseline=baseline)


def _row(outcome: Outcome, seconds: float) -> dict[str, Cell]:
    return {
        "arm": outcome.name,
        "min": round(seconds / 60),
        "on validation": round(outcome.validation, 4),
        "on test": round(outcome.test, 4),
        "trials": outcome.trials,
        "files": len(outcome.points),
    }


def _show(outcome: Outcome) -> None:
    print(
        f"{outcome.name:10} {outcome.trials:4} trials, hypervolume {outcome.validation:.4f} on "
        f"validation, {outcome.test:.4f} on test",
        flush=True,
    )
    for size, validation, test in sorted(outcome.points):
        print(f"    {size:9,} B  {validation:.2%}  {test:.2%}", flush=True)


if __name__ == "__main__":
    main()
