"""Latency on a busy machine: the ratio of an int8 file to the float one, by several clocks.

``python -m benchmarks.engine.busy_latency``: two residual networks, float and int8, timed in turns
while nothing, 2, 4 and 8 processes compute beside them. Bound: the ratio that is recorded with one
thread is within 5 % of that with none. Printed beside it are other ways to read the same calls: of
the first run, before anything was repeated, and the least of all, which was recorded before.
"""

from __future__ import annotations

import io
import math
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.data import cifar
from benchmarks.record import Cell, Table, keeps
from compress import pipeline
from compress.evaluation import latency
from compress.evaluation.latency import Beside
from compress.export import writer
from compress.network.families.network import build
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.quantization.config import Quantization
from compress.training.context import TrialContext
from compress.values.latency import timing
from compress.values.latency.latency import Latency
from compress.values.latency.timing import Run

REPEATS = 5
BUSY = (0, 2, 4, 8)
MOST = 1.05
_SPUN = 1000
_NETWORKS = {
    "ResNet-20": cifar.architecture(20),
    "three times as wide": Residual(widths=(48, 96, 192), depths=(3, 3, 3), shortcut="pad"),
}
Files = tuple[Path, Path]


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One measurement: what was recorded, what else the first run of its calls says, seconds."""

    latency: Latency
    read: dict[str, float]
    seconds: float


@keeps(
    "engine/busy_latency",
    "How true is a latency on a busy machine (int8 over float, worst factor in brackets)?",
    headline=("ResNet-20, 1, 0", "ResNet-20, 1, 4"),
)
def main(table: Table) -> None:
    """Print the ratios with and without busy processes, and whether the bound is met."""
    torch.set_num_threads(1)
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        files = {name: _files(Path(folder), name) for name in _NETWORKS}
        cases = [(name, 1) for name in _NETWORKS] + [("ResNet-20", 2)]
        quiet: dict[tuple[str, int], list[Timed]] = {}
        for busy in BUSY:
            with _busy(busy):
                for name, threads in cases:
                    found = _timed(files[name], threads)
                    still = quiet.setdefault((name, threads), found)
                    print(f"{name}, {threads} thread(s), {busy} busy processes: ", end="")
                    print(_said(found, still), flush=True)
                    row = {"file, threads, busy processes": f"{name}, {threads}, {busy}"}
                    table.add(row | _cells(found, still))
                    off = _between(found, still)
                    if threads == 1 and off > MOST:
                        missed.append(f"{name} beside {busy}: {off:.3f}")
    print(f"median ratios off by more than {MOST}: {missed or 'none'}")


def _cells(timed: list[Timed], quiet: list[Timed]) -> dict[str, Cell]:
    marked = sum(one.latency.busy for one in timed)
    return {**_ways(timed, quiet), "marked": f"{marked} of {len(timed)}"}


def _ways(timed: list[Timed], quiet: list[Timed]) -> dict[str, str]:
    """What each way to read the calls says."""
    ways = {"recorded": _compared(timed, quiet, lambda one: one.latency.ratio or math.nan)}
    for way in timed[0].read:
        ways[way] = _compared(timed, quiet, lambda one, way=way: one.read[way])
    ways["recorded ms"] = _compared(timed, quiet, lambda one: one.latency.median_ms)
    return ways


def _said(timed: list[Timed], quiet: list[Timed]) -> str:
    ways = _ways(timed, quiet)
    marked = [one.latency.within for one in timed if one.latency.busy]
    factors = f", within {min(marked):.2f} to {max(marked):.2f}" if marked else ""
    seconds = statistics.median(one.seconds for one in timed)
    return "; ".join(
        [
            *(f"{way} {said}" for way, said in ways.items()),
            f"marked {len(marked)} of {len(timed)}{factors}",
            f"{seconds:.1f} s",
        ]
    )


def _compared(timed: list[Timed], quiet: list[Timed], figure: Callable[[Timed], float]) -> str:
    """The median, and how far the worst is from the median without busy processes."""
    truth = statistics.median(figure(one) for one in quiet)
    told = [figure(one) for one in timed]
    return f"{statistics.median(told):.3f} (off by up to {_off(told, truth):.2f}x)"


def _between(timed: list[Timed], quiet: list[Timed]) -> float:
    """The factor between the medians of what was recorded, busy and not."""
    told, true = (
        statistics.median(one.latency.ratio or math.nan for one in each) for each in (timed, quiet)
    )
    return max(told / true, true / told)


def _off(told: list[float], true: float) -> float:
    """The worst factor between what was told and the truth."""
    return max(max(one / true, true / one) for one in told)


def _timed(pair: Files, threads: int) -> list[Timed]:
    small, large = pair
    images = Images(x_NCHW=torch.zeros(1, 3, 32, 32), y_N=torch.zeros(1, dtype=torch.long))
    found = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        with _first_run() as runs:
            beside = Beside(path=large, reference_ms=1.0)
            timed = latency.measure(small, images, threads=threads, beside=beside)
        seconds = time.perf_counter() - began
        read = _read(runs[0]) | _least_of_all(runs)
        found.append(Timed(latency=timed, read=read, seconds=seconds))
    return found


@contextmanager
def _first_run() -> Iterator[list[Run]]:
    """The runs that a measurement reads, kept in order: the first is all there was before."""
    runs: list[Run] = []
    until_quiet = timing.until_quiet

    def keeping(one_run: Callable[[], Run], **how: object) -> tuple[Run, bool]:
        def kept() -> Run:
            runs.append(one_run())
            return runs[-1]

        return until_quiet(kept, **how)  # pyright: ignore[reportArgumentType]

    timing.until_quiet = keeping
    try:
        yield runs
    finally:
        timing.until_quiet = until_quiet


def _read(run: Run) -> dict[str, float]:
    own, other = run
    return {
        "wall median": float(np.median(own.wall_ms) / np.median(other.wall_ms)),
        "wall least": min(own.wall_ms) / min(other.wall_ms),
        "CPU median": float(np.median(own.cpu_ms) / np.median(other.cpu_ms)),
        "CPU 10 % quantile": float(np.quantile(own.cpu_ms, 0.1) / np.quantile(other.cpu_ms, 0.1)),
        "CPU least": min(own.cpu_ms) / min(other.cpu_ms),
    }


def _least_of_all(runs: list[Run]) -> dict[str, float]:
    own, other = (min(ms for run in runs for ms in run[i].cpu_ms if ms > 0) for i in (0, 1))
    return {"CPU least, repeated": own / other}


@contextmanager
def _busy(count: int) -> Iterator[None]:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_spin, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    time.sleep(3 if count else 0)  # a new process imports before it computes
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _spin() -> None:
    while True:
        sum(range(_SPUN))


def _files(folder: Path, name: str) -> Files:
    """The int8 file and the float one; weights and images are random, which timing never sees."""
    random = torch.Generator().manual_seed(0)
    x_NCHW = torch.randint(0, 256, (256, 3, 32, 32), generator=random, dtype=torch.uint8)
    images = Images(x_NCHW=x_NCHW, y_N=torch.arange(256) % 10)
    data = ImageData(train=images, validation=images, test=None, num_classes=10)
    module = build(_NETWORKS[name], in_channels=3, num_classes=10, seed=0).eval()
    network = Network(
        module=module,
        normalisation=cifar.NORMALISATION,
        input_shape=(3, 32, 32),
        num_classes=10,
    )
    context = TrialContext(data=data, device=torch.device("cpu"), seed=0, task=IMAGE_CLASSIFICATION)
    whole = Candidate()
    narrow = Candidate(steps=(Quantization(weight_bits=8, activations="int8"),))
    with redirect_stdout(io.StringIO()):
        written = [
            writer.write(
                pipeline.start(network, one, context),
                folder,
                data=data,
                name=f"{name}-{i}",
                task=IMAGE_CLASSIFICATION,
            )
            for i, one in enumerate((narrow, whole))
        ]
    return written[0].path, written[1].path


if __name__ == "__main__":
    main()
