"""Estimate how fast a job's candidates are trained, exported and measured.

The first estimate is the baseline's own training, if it was trained here. The trials of the job are
better evidence, and count the more the more of them there are. The cost of an epoch is assumed to
grow with the candidate's MACs, from half of the cost of a candidate as large as the baseline. The
other half (its teacher's answers, the grids of its weights, and the fixed cost of every batch) was
as large as that on the sample job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compress.values.measurement import Measurement, training_seconds
from search.space.supernets import EpochCosts

_WHATEVER_ITS_SIZE = 0.5
_BASELINE_COUNTS = 2.0
"""Number of trials that count as much as what is known beforehand."""
_SPACE_COUNTS = 4.0
"""Number of trials that count as much as the MACs expected from the space."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """How far a search trial has come: epochs trained, rungs reported, seconds, and MACs.

    ``seconds`` are by stage, as in ``Measurement.seconds``. ``wall_seconds`` is the time until it
    ended, if that is known.
    """

    epochs: int
    rungs: int
    macs: int
    seconds: Mapping[str, float]
    wall_seconds: float | None = None

    @property
    def training(self) -> float:
        """The seconds that were spent in training."""
        return training_seconds(self.seconds)

    @property
    def beside(self) -> float:
        """The seconds of everything else, with reports and uploads, which belong to no stage."""
        return max(self.wall_seconds or 0.0, sum(self.seconds.values())) - self.training


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The seconds of a candidate's epoch, and the further seconds at a rung; None if unknown.

    ``own_epoch_seconds`` is the time of an epoch of the baseline.
    """

    epoch_seconds: float | None
    own_epoch_seconds: float | None
    rung_seconds: float
    basis: str


def of(
    baseline: Measurement, samples: Sequence[Sample], *, train_images: int, costs: EpochCosts
) -> Pace:
    """Estimate the pace of a job from its measured baseline and from trials, if there are any."""
    speed = baseline.train_images_per_second
    own = None if speed is None else train_images / speed
    beforehand = None if own is None else costs.member * own
    found = _epoch(baseline, samples, beforehand, costs)
    return Pace(
        epoch_seconds=found,
        own_epoch_seconds=own,
        rung_seconds=_rung(baseline, samples),
        basis=_basis(samples, speed),
    )


def _epoch(
    baseline: Measurement, samples: Sequence[Sample], beforehand: float | None, costs: EpochCosts
) -> float | None:
    trained = [sample for sample in samples if sample.epochs > 0 and sample.training > 0]
    if not trained:
        return beforehand
    sizes = [sample.macs / baseline.macs for sample in trained]
    work = sum(_effort(size) * s.epochs for size, s in zip(sizes, trained, strict=True))
    full = sum(sample.training for sample in trained) / work
    expected = costs.member if costs.typical is None else costs.typical
    count = len(trained)
    typical = (expected * _SPACE_COUNTS + sum(sizes)) / (_SPACE_COUNTS + count)
    measured = full * _effort(typical)
    if beforehand is None:
        return measured
    return (beforehand * _BASELINE_COUNTS + measured * count) / (_BASELINE_COUNTS + count)


def _effort(size: float) -> float:
    """The relative cost of an epoch of a candidate with this share of the baseline's MACs."""
    return _WHATEVER_ITS_SIZE + (1.0 - _WHATEVER_ITS_SIZE) * size


def _rung(baseline: Measurement, samples: Sequence[Sample]) -> float:
    """Seconds to load, compress, export and measure per report of a trial."""
    own = sum(baseline.seconds.values()) - training_seconds(baseline.seconds)
    reports = sum(sample.rungs for sample in samples)
    spent = sum(sample.beside for sample in samples)
    return (own * _BASELINE_COUNTS + spent) / (_BASELINE_COUNTS + reports)


def _basis(samples: Sequence[Sample], speed: float | None) -> str:
    trained = sum(sample.epochs > 0 for sample in samples)
    if trained:
        known = "" if speed is None else ", and of the baseline"
        trials = "trial" if trained == 1 else f"{trained} trials"
        return f"as measured of the newest {trials} that trained{known}"
    return "as measured of the baseline"
