"""Choose the observer that sets a file's activation ranges: the one asked for, unless it fails.

If an outlier among the calibration images has decided a range, few levels are left for the others,
and the file answers differently than its network does in float. That shows in its answers alone, so
every file is checked: if too few answers agree, the other observers are tried, and the one with the
most answers like the float ones is taken.

Processors without VNNI add two products of 8 bits in 16, and the sum may saturate. If the fused
kernels answer differently than the same integers in float arithmetic, the file is also tried with
weights of 7 bits, whose products never saturate.

Files are compared on the images of the gates, from the validation split, without their labels: the
calibration images hold the outliers, and nobody may choose by the test split.

Legend: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from torch import Tensor

from compress.export import parity
from compress.network.signature import Signature
from compress.tasks.task import Task
from compress.values.errors import ExportParityError, NumericalError
from compress.values.measurement import Observer, Parity

ENOUGH = 0.95
"""Share of answers like the float ones from which on no other observer is tried."""

OBSERVERS: tuple[Observer, ...] = ("mse", "percentile", "minmax")

Write = Callable[[Observer, bool], ModelProto]
"""Writes the file with ranges by an observer and, if so asked, with 7 of 8 bits of the weights."""
SATURATED = 0.02
"""Share of the usual spread of logits by which saturating kernels are seen."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A file with integer kernels that has passed its gate, and what set its ranges.

    ``agreement`` is the share of images with the class of the float network, ``distance`` the
    median over images of the largest difference of a logit; ``reduced`` weights have 7 of 8 bits.
    """

    observer: Observer
    reduced: bool
    model: ModelProto
    gate: Parity
    agreement: float
    distance: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Search:
    write: Write
    reference_NK: NDArray[np.float32]
    x_NCHW: Tensor
    task: Task
    signature: Signature | None

    def tried(self, observer: Observer, *, reduced: bool) -> Chosen:
        """Write and run a file. Raises ExportParityError or NumericalError."""
        model = self.write(observer, reduced)
        gate, logits_NK = parity.check_integer(
            model.SerializeToString(),
            x_NCHW=self.x_NCHW,
            task=self.task,
            signature=self.signature,
        )
        return Chosen(
            observer=observer,
            reduced=reduced,
            model=model,
            gate=gate,
            agreement=self.task.agreement(logits_NK, self.reference_NK, tie=0.0),
            distance=float(np.median(np.abs(logits_NK - self.reference_NK).max(axis=1))),
        )

    def passing(self, observers: Iterable[Observer], *, reduced: bool) -> list[Chosen]:
        """Return the files that pass their gate; one that fails cannot be chosen."""
        found: list[Chosen] = []
        for observer in observers:
            with suppress(ExportParityError, NumericalError):
                found.append(self.tried(observer, reduced=reduced))
        return found

    def saturates(self, found: Chosen) -> bool:
        """Whether fused kernels answer differently than the same integers in float arithmetic."""
        _, usual = parity.units(self.reference_NK.astype(np.float64))
        return found.gate.max_abs_error > SATURATED * usual


def choose(  # noqa: PLR0913 - what is chosen from and by what, by name
    write: Write,
    *,
    asked: Observer,
    reducible: bool,
    reference_NK: NDArray[np.float32],
    x_NCHW: Tensor,
    task: Task,
    signature: Signature | None = None,
) -> Chosen:
    """Return the file by the observer ``asked`` for, or one whose answers agree on more images.

    Up to five further files are written and run, none if ``asked`` is good enough. If two agree
    equally, the one whose logits are nearer counts. ``reducible`` says that there are weights of 8
    bits. If no file passes its gate, raises what the file by ``asked`` raises, ExportParityError or
    NumericalError.
    """
    search = _Search(
        write=write, reference_NK=reference_NK, x_NCHW=x_NCHW, task=task, signature=signature
    )
    failure: ExportParityError | NumericalError | None = None
    found: list[Chosen] = []
    try:
        found = [search.tried(asked, reduced=False)]
    except (ExportParityError, NumericalError) as error:
        failure = error
    if reducible and (failure is not None or search.saturates(found[0])):
        found += search.passing([asked], reduced=True)
    if not found or _best(found).agreement < ENOUGH:
        others: list[Observer] = [each for each in OBSERVERS if each != asked]
        found += search.passing(others, reduced=bool(found) and _best(found).reduced)
    if not found:
        assert failure is not None
        raise failure
    return _noted(_best(found), found[0], asked=asked, failure=failure)


def _best(found: list[Chosen]) -> Chosen:
    return max(found, key=lambda each: (each.agreement, -each.distance))


def _noted(best: Chosen, first: Chosen, *, asked: Observer, failure: Exception | None) -> Chosen:
    """Return what was chosen, with notes about the choice."""
    images = best.gate.images
    notes = [f"8-bit and float activations agree on {best.agreement:.1%} of {images} images"]
    if best.reduced:
        notes.append(
            "weights of 8 bits have 7 in this file: on this processor sums of two products of 8 "
            "bits saturate, and the answers were further from the float ones"
        )
    if best.observer != asked:
        why = f"by it they agreed on {first.agreement:.1%}"
        if failure is not None:
            why = f"by it no file passed its gate ({failure})"
        notes.append(f"activation_observer is {best.observer} instead of {asked}: {why}")
    elif best.agreement < ENOUGH:
        notes.append(
            f"that is less than {ENOUGH:.0%}, and no activation_observer does better than {asked}"
        )
    return replace(best, notes=tuple(notes))
