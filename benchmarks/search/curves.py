"""Learning curves to replay: recorded ones of 19 CIFAR-10 networks, and families that cross.

Nothing is trained here: what a candidate weighs and how accurate it is after so many epochs is
looked up or computed.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.data.cifar import DATA
from compress.values.latency.latency import Latency
from compress.values.measurement import Measurement, Parity

RECORDED = DATA / "nas" / "learning_curves_cifar10.parquet"
PARAMETERS: Mapping[str, float] = {
    "resnet20": 0.27, "resnet32": 0.47, "resnet44": 0.66, "resnet56": 0.86,
    "vgg11_bn": 9.76, "vgg13_bn": 9.94, "vgg16_bn": 15.25, "vgg19_bn": 20.57,
    "mobilenetv2_x0_5": 0.70, "mobilenetv2_x0_75": 1.37, "mobilenetv2_x1_0": 2.24,
    "mobilenetv2_x1_4": 4.33, "shufflenetv2_x0_5": 0.35, "shufflenetv2_x1_0": 1.26,
    "shufflenetv2_x1_5": 2.49, "shufflenetv2_x2_0": 5.37, "repvgg_a0": 7.84,
    "repvgg_a1": 12.82, "repvgg_a2": 26.82,
}  # fmt: skip
"""Millions of parameters, as the README of chenyaofo/pytorch-cifar-models gives them."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Accuracy on validation and bytes of the file, by epochs of training."""

    size_bytes: Mapping[int, int]
    accuracy: Mapping[int, float]

    def at(self, epochs: int) -> Measurement:
        """What would be measured after so many epochs."""
        return Measurement(
            accuracy={"validation": self.accuracy[epochs]},
            size_bytes=self.size_bytes[epochs],
            parameters=max(1, self.size_bytes[epochs] // 4),
            macs=1,
            latency=Latency(median_ms=1.0, p95_ms=1.0, threads=1, batch=1),
            parity=Parity(max_abs_error=0.0, agreement=1.0, images=1),
        )


def recorded(path: Path = RECORDED) -> list[Candidate]:
    """The 19 networks, by name; from a parquet or a csv file with model, epoch and val_top1.

    Raises SystemExit, saying so, where the file or what reads it is missing.
    """
    if not path.exists():
        raise SystemExit(
            f"this benchmark needs {path.name} in shared/data/nas beside the repository"
        )
    accuracy: dict[str, dict[int, float]] = {}
    for model, epoch, top1 in _rows(path):
        accuracy.setdefault(model, {})[int(epoch)] = float(top1) / 100
    return [
        Candidate(
            size_bytes=dict.fromkeys(accuracy[name], round(4e6 * PARAMETERS[name])),
            accuracy=accuracy[name],
        )
        for name in sorted(accuracy)
    ]


def _rows(path: Path) -> Sequence[tuple[str, str, str]]:
    columns = ("model", "epoch", "val_top1")
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [tuple(row[name] for name in columns) for row in csv.DictReader(file)]  # pyright: ignore[reportReturnType]
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise SystemExit("reading parquet needs pyarrow: install it, or give a csv file") from error
    table = parquet.read_table(path, columns=list(columns)).to_pydict()
    return list(zip(*(table[name] for name in columns), strict=True))


def crossing(point: Sequence[float], *, epochs: Sequence[int], seed: int) -> Candidate:
    """A candidate of a made-up family whose curves cross.

    ``point`` is width, bits and a learning setting, each 0 to 1. A wide network ends better and
    starts slower; few bits cost accuracy at first and little at the end; a bad setting costs both.
    Every curve is a power law (Cortes et al., 1993), with noise of 0.4 points per epoch.
    """
    width, bits, setting = point
    off = (setting - 0.3 - 0.4 * width) ** 2
    last = 0.94 - 0.16 * math.exp(-2.5 * width) - 0.03 * math.exp(-4 * bits) - 0.12 * off
    first = 0.55 - 0.35 * width + 0.15 * bits - 0.1 * off
    speed = 2.0 + 10.0 * width + 12.0 * off
    random = np.random.default_rng([seed, *(round(1e6 * each) for each in point)])
    noise = random.normal(0.0, 0.004, len(epochs))
    accuracy = {
        each: float(np.clip(last - (last - first) * (1 + each / speed) ** -1.2 + shift, 0.1, 0.999))
        for each, shift in zip(epochs, noise, strict=True)
    }
    size = crossing_bytes(width, bits)
    return Candidate(size_bytes=dict.fromkeys(epochs, size), accuracy=accuracy)


def crossing_bytes(width: float, bits: float) -> int:
    """Size of a candidate of ``crossing``."""
    return round(2_000 * 10 ** (1.8 * width) * (1 + 3 * bits))
