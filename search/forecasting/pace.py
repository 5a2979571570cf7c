"""How fast a job's candidates are trained, exported and measured, from what has been measured.

The baseline's own training, where it was trained here, says it first; the trials of the job say it
better, and the more of them there are the more they count. What an epoch costs is taken to grow
with the multiply-accumulates of the candidate, from half of the cost of one as large as the
baseline: the other half (its teacher's answers, the grids of its weights, and what every batch
costs however small the network) was as large as that on the sample job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compress.values.measurement import Measurement
from search.space.supernets import EpochCosts

_TRAINING = ("train", "recover")
"""How stages of ``Measurement.seconds`` begin that grow with epochs."""
_WHATEVER_ITS_SIZE = 0.5
_BASELINE_COUNTS = 2.0
"""As many trials as what is known beforehand counts for."""
_SPACE_COUNTS = 4.0
"""The same of what the space lets expect of the candidates' multiply-accumulates."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A search trial, as far as it has come: epochs trained, rungs reported, seconds, MACs.

    ``seconds`` are by stage, as in ``Measurement.seconds``; ``wall_seconds`` are all that passed
    until it ended, where that is known.
    """

    epochs: int
    rungs: int
    macs: int
    seconds: Mapping[str, float]
    wall_seconds: float | None = None

    @property
    def training(self) -> float:
        """Seconds of training."""
        return sum(s for stage, s in self.seconds.items() if stage.startswith(_TRAINING))

    @property
    def beside(self) -> float:
        """Seconds of everything else: reports and uploads are in no stage."""
        return max(self.wall_seconds or 0.0, sum(self.seconds.values())) - self.training


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds of an epoch of a candidate, and of what comes on top at a rung; None: unknown.

    ``own_epoch_seconds`` is one of the baseline.
    """

    epoch_seconds: float | None
    own_epoch_seconds: float | None
    rung_seconds: float
    basis: str


def of(
    baseline: Measurement, samples: Sequence[Sample], *, train_images: int, costs: EpochCosts
) -> Pace:
    """The pace of a job whose baseline is measured, and some of whose trials may be."""
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
    """What an epoch costs of a candidate with this share of the baseline's multiply-accumulates."""
    return _WHATEVER_ITS_SIZE + (1.0 - _WHATEVER_ITS_SIZE) * size


def _rung(baseline: Measurement, samples: Sequence[Sample]) -> float:
    """Seconds to load, compress, export and measure, for each time a trial reports."""
    own = sum(s for stage, s in baseline.seconds.items() if not stage.startswith(_TRAINING))
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
