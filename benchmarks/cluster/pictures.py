"""From a folder of 10,000 small pictures to the first trial: seconds, and what the second decodes.

Bound: 60 s from the zip to the end of the first trial, on 2 cores; the second trial on the same
worker decodes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.cluster.processes import Cluster
from benchmarks.record import Table, keeps
from featherweight.client import folders
from featherweight.client.client import Client
from featherweight.specs.schemas import TrialSchema
from featherweight.specs.states import TrialState

PICTURES, CLASSES, SIDE = 10_000, 10, 32
_NOISE = 40
_LOOK_SECONDS = 0.1
_PATIENCE_SECONDS = 600
_DIGEST = 64
_DATA_BYTES = PICTURES * SIDE * SIDE * 3
_JOB: Mapping[str, Any] = {
    "name": "pictures",
    "model": {
        "architecture": {"family": "residual", "widths": [16, 32, 64], "depths": [1, 1, 1]},
        "epochs": 1,
    },
    "data": "pictures",
    "techniques": {"quantization": {}},
    "objectives": ["maximise accuracy", "minimise size_bytes"],
    "budget": {"trials": 2, "parallel_trials": 1},
    "early_stopping": {"rungs": [0]},
    "finish": {"trials": 0},
}
"""Trial 0 trains the network for an epoch, trial 1 compresses it."""


@keeps("cluster/pictures", "How soon are 10,000 small pictures a first trial?")
def main(table: Table) -> None:
    """Make the pictures, send them, run trials, and print what each step took."""
    with Cluster() as cluster, Client(cluster.url) as client:
        folder, cache = cluster.folder / "made", cluster.folder / "worker" / "cache"
        _draw(folder)
        cluster.wait_healthy()
        began = time.perf_counter()
        with folders.as_file(folder) as zipped:
            packed = time.perf_counter()
            dataset = client.upload_dataset(zipped, name="pictures")
        kept = time.perf_counter()
        job = client.submit(dict(_JOB)).id
        first = _ended(client, job, 0)
        done = time.perf_counter()
        decoded = _files(cache)
        # Whoever decodes it again has to fetch it again.
        (cache / dataset.sha256).unlink()
        second = _ended(client, job, 1)
        same_process = _files(cache) - decoded
        _settled(client, job)
        cluster.restart("worker")
        third = _ended(client, client.submit({**_JOB, "name": "pictures-again"}).id, 0)
        next_process = _files(cache) - decoded
    for what, measured, bound in (
        ("the folder becomes a zip", f"{packed - began:.1f} s", ""),
        ("the zip is sent, decoded and inspected", f"{kept - packed:.1f} s", ""),
        ("the first trial, at its worker", f"{_seconds(first):.1f} s", ""),
        ("from the zip to the end of the first trial", f"{done - packed:.1f} s", "60 s"),
        ("the second trial, at its worker", f"{_seconds(second):.1f} s", ""),
        ("data files that the second trial fetches or decodes", f"{len(same_process)}", "0"),
        ("a trial after a restart of the worker", f"{_seconds(third):.1f} s", ""),
        ("data files that it fetches or decodes", f"{len(next_process)}", "0"),
    ):
        print(f"{what}: {measured}{f' (bound: {bound})' if bound else ''}")
        table.add({"what": what, "measured": measured, "bound": bound})


def _draw(folder: Path) -> None:
    """Write pictures whose classes have a colour and a pattern of their own, under noise."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 256 - _NOISE, (CLASSES, SIDE, SIDE, 3))
    for number in range(PICTURES):
        label = number % CLASSES
        place = folder / f"class-{label}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = patterns[label] + rng.integers(0, _NOISE, (SIDE, SIDE, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")


def _files(cache: Path) -> set[tuple[str, int]]:
    """Return data files by name and inode: one that is made or fetched anew has another."""
    return {
        (path.name, path.stat().st_ino)
        for path in cache.iterdir()
        if len(path.name) == _DIGEST and path.stat().st_size > _DATA_BYTES
    }


def _ended(client: Client, job: str, number: int) -> TrialSchema:
    """Wait for the end of a trial. Raises RuntimeError unless it is complete."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        for trial in client.trials(job):
            if trial.number == number and trial.state.is_finished:
                if trial.state != TrialState.COMPLETE:
                    raise RuntimeError(f"trial {number} is {trial.state}: {trial.reason}")
                return trial
        time.sleep(_LOOK_SECONDS)
    raise TimeoutError(f"trial {number} has not ended within {_PATIENCE_SECONDS} s")


def _settled(client: Client, job: str) -> None:
    """Let a job end, so that its worker is idle."""
    for _ in client.watch(job):
        pass


def _seconds(trial: TrialSchema) -> float:
    if trial.started_at is None or trial.finished_at is None:
        raise RuntimeError(f"trial {trial.number} says not when it ran")
    return (trial.finished_at - trial.started_at).total_seconds()


if __name__ == "__main__":
    main()
