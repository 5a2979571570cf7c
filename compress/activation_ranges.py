"""Which observer sets the ranges of a file's activations: the one asked for, unless it fails.

A range that an outlier of the calibration images has decided leaves no levels for the others, and
the file answers otherwise than its network does in float. That is seen from its answers alone, so
every file is looked at: where too few of them agree, the other observers are tried, and the one
with the most answers like the float ones is taken.

They are compared on the images of the gates, from the validation split, without their labels: the
calibration images hold the outliers, and the test split is nobody's to choose by.

Legend: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from torch import Tensor

from compress import parity
from compress.errors import ExportParityError, NumericalError
from compress.measurement import Observer, Parity

ENOUGH = 0.95
"""Share of answers like the float ones from which on no other observer is tried."""

OBSERVERS: tuple[Observer, ...] = ("mse", "percentile", "minmax")

Write = Callable[[Observer], ModelProto]
"""Writes the file with ranges by an observer."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A file with integer kernels that has passed its gate, and what set its ranges.

    ``agreement`` is the share of images with the class of the float network, ``distance`` the
    median over images of the largest difference of a logit.
    """

    observer: Observer
    model: ModelProto
    gate: Parity
    agreement: float
    distance: float
    notes: tuple[str, ...]


def choose(
    write: Write, *, asked: Observer, reference_NK: NDArray[np.float32], x_NCHW: Tensor
) -> Chosen:
    """The file by the observer ``asked`` for, or by the one whose answers agree on more images.

    Up to two further files are written and run, and none where ``asked`` is good enough. Of equal
    agreement the one asked for counts, then the one whose logits are nearer. Raises what the file
    by ``asked`` raises, ExportParityError or NumericalError, where no observer gives one that
    passes its gate.
    """
    try:
        first = _tried(write, asked, reference_NK=reference_NK, x_NCHW=x_NCHW)
    except (ExportParityError, NumericalError) as error:
        others = _others(write, asked, reference_NK=reference_NK, x_NCHW=x_NCHW)
        if not others:
            raise
        return _instead(_best(others), asked=asked, why=f"by it no file passed its gate ({error})")
    if first.agreement >= ENOUGH:
        return first
    others = _others(write, asked, reference_NK=reference_NK, x_NCHW=x_NCHW)
    if not others or (best := _best(others)).agreement <= first.agreement:
        return _noted(
            first,
            f"that is less than {ENOUGH:.0%}, and no activation_observer does better than {asked}",
        )
    why = f"by it they agreed on {first.agreement:.1%}"
    return _instead(best, asked=asked, why=why)


def _tried(
    write: Write, observer: Observer, *, reference_NK: NDArray[np.float32], x_NCHW: Tensor
) -> Chosen:
    model = write(observer)
    gate, logits_NK = parity.check_integer(model.SerializeToString(), x_NCHW=x_NCHW)
    same = parity.agreement(logits_NK, reference_NK=reference_NK)
    return Chosen(
        observer=observer,
        model=model,
        gate=gate,
        agreement=same,
        notes=(f"8-bit and float activations agree on {same:.1%} of {gate.images} images",),
        distance=float(np.median(np.abs(logits_NK - reference_NK).max(axis=1))),
    )


def _others(
    write: Write, asked: Observer, *, reference_NK: NDArray[np.float32], x_NCHW: Tensor
) -> list[Chosen]:
    found: list[Chosen] = []
    for observer in OBSERVERS:
        if observer == asked:
            continue
        # One that fails its gate is no file to choose.
        with suppress(ExportParityError, NumericalError):
            found.append(_tried(write, observer, reference_NK=reference_NK, x_NCHW=x_NCHW))
    return found


def _best(found: list[Chosen]) -> Chosen:
    return max(found, key=lambda each: (each.agreement, -each.distance))


def _instead(best: Chosen, *, asked: Observer, why: str) -> Chosen:
    return _noted(best, f"activation_observer is {best.observer} instead of {asked}: {why}")


def _noted(chosen: Chosen, note: str) -> Chosen:
    return replace(chosen, notes=(*chosen.notes, note))
