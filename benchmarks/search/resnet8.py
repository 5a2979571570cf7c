"""MLPerf Tiny's ResNet-8, posted as ONNX with CIFAR-10: the smallest file of at least 85.0 %.

``python -m benchmarks.search.resnet8 --seconds 1200 0 1 2`` runs one job for each seed through
service, searcher and two workers, with a profile of 5 % of the seconds and nothing retrained after
them. The network was trained on all training images, so the first half of the test sheet is
validation, by which the job and we choose; the second half is opened once, for the chosen file.
MLPerf Tiny asks for 85 % and publishes a file of 98,496 bytes (tflite, int8).

``--peers PYTHON TOOL ...`` runs tools of ``benchmarks.engine.other_tools`` with the Python of
their environment: onnxruntime, nncf, olive and onnxsim in one, aimet in another. They calibrate on
256 random training images of the seed. A run replaces the rows of its own seeds and tools and
keeps those of others, so that a race which takes hours can be run in parts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cluster.processes import Cluster
from benchmarks.data import cifar
from benchmarks.record import RESULTS, Row, read, recorded
from compress.evaluation import measure, runtime
from compress.tasks.images import ImageData
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from featherweight.client.client import Client
from featherweight.specs.job import JobSpec
from featherweight.specs.schemas import FrontPoint

NAME = "resnet8"
MODEL = cifar.DATA / "onnx" / "cifar10_mlperf_tiny_resnet8.onnx"
OURS = "featherweight"
WANTED = 0.85
_CHOSEN_AT = 0.855
"""What a file must reach on validation to be chosen: one standard error of 5,000 images more."""
_CALIBRATION_IMAGES = 256
_TOOLS = Path(__file__).parents[1] / "engine" / "other_tools.py"


def main() -> None:
    """Run the seeds that are asked for, and the peers."""
    parser = argparse.ArgumentParser(prog="benchmarks.search.resnet8", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200.0, help="of one job")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peers", nargs="+", action="append", default=[], metavar="PYTHON TOOL")
    parser.add_argument("--only-peers", action="store_true", help="start no job")
    parser.add_argument("seeds", nargs="*", type=int, default=[0, 1, 2])
    asked = parser.parse_args()
    question = "How small does MLPerf Tiny's ResNet-8 get, posted as ONNX, at 85.0 % and more?"
    found = list(_rows(asked, cifar.images()))
    earlier = _earlier({(row["tool"], row["seed"]) for row in found})
    rows = sorted([*earlier, *found], key=lambda row: (str(row["tool"]), str(row["seed"])))
    seeds = sorted({int(str(row["seed"])) for row in rows})
    with recorded("search/resnet8", question, seeds=seeds) as table:
        for row in rows:
            table.add(row)


def _rows(asked: argparse.Namespace, data: ImageData) -> Iterator[Row]:
    for seed in asked.seeds:
        for python, *tools in asked.peers:
            for tool in tools:
                yield _shown(_peer(python, tool, data, seed))
        if not asked.only_peers:
            yield _shown(_ours(data, seed=seed, seconds=asked.seconds, workers=asked.workers))


def _earlier(renewed: set[tuple[Any, Any]]) -> Sequence[Row]:
    path = RESULTS / "search" / "resnet8.json"
    rows = read(path).rows if path.exists() else ()
    return [row for row in rows if (row["tool"], row["seed"]) not in renewed]


def _ours(data: ImageData, *, seed: int, seconds: float, workers: int) -> Row:
    with Cluster(workers=workers) as cluster:
        cluster.wait_healthy()
        client = Client(cluster.url)
        client.upload_dataset(cifar.save(data, cluster.folder), name="cifar10")
        client.upload_model(MODEL, name=NAME)
        client.inspected(NAME)
        began = time.perf_counter()
        job = client.submit(_spec(seed=seed, seconds=seconds, workers=workers)).id
        while not client.job(job).state.is_finished:
            time.sleep(1.0)
        took = time.perf_counter() - began
        points = client.front(job).points
        for point in points:
            print(f"    {point.size_bytes:9,} B  {_validation(point):.2%}", flush=True)
        best = min((p for p in points if _validation(p) >= _CHOSEN_AT), key=lambda p: p.size_bytes)
        path = client.download(best, cluster.folder / "front")
        tried = sum(trial.measurement is not None for trial in client.trials(job))
        return {**_row(OURS, seed, path, data, seconds=took), "trials": tried}


def _spec(*, seed: int, seconds: float, workers: int) -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": NAME,
            "model": NAME,
            "data": "cifar10",
            "objectives": ["maximise accuracy", "minimise size_bytes"],
            "constraints": [f"accuracy >= {WANTED}"],
            "budget": {"trials": 2_000, "seconds": seconds, "parallel_trials": workers},
            "profile": {"share": 0.05},
            "finish": {"trials": 0},
            "seed": seed,
        }
    )


def _validation(point: FrontPoint) -> float:
    return point.measurement.value("accuracy")


def _peer(python: str, tool: str, data: ImageData, seed: int) -> Row:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(MODEL, folder / "float.onnx")
        chosen = np.random.default_rng(seed).permutation(len(data.train))[:_CALIBRATION_IMAGES]
        np.savez(
            folder / "images.npz",
            calibration=runtime.raw(data.train.x_NCHW[chosen]),
            validation=runtime.raw(data.validation.x_NCHW),
            labels=data.validation.y_N.numpy(),
        )
        done = subprocess.run(
            (python, str(_TOOLS), tool, str(folder)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        said = json.loads(done.stdout.splitlines()[-1])
        return _row(tool, seed, Path(said["file"]), data, seconds=said["seconds"])


def _row(tool: str, seed: int, path: Path, data: ImageData, *, seconds: float) -> Row:
    assert data.test is not None
    validation, test = (
        measure.accuracy_of_file(path, split, task=IMAGE_CLASSIFICATION)
        for split in (data.validation, data.test)
    )
    return {
        "tool": tool,
        "seed": seed,
        "bytes": path.stat().st_size,
        "validation": f"{validation:.2%}",
        "test": f"{test:.2%}",
        "at least 85.0 % on test": "yes" if test >= WANTED else "no",
        "s": round(seconds),
    }


def _shown(row: Row) -> Row:
    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


if __name__ == "__main__":
    main()
