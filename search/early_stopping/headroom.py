"""How much accuracy training can still add to a trial, and how that settles ``auto``.

Training is assumed to lift a compressed network to the baseline's accuracy, or to the best accuracy
of a peer at the same rung. A trial far below has headroom: it climbs if nothing dominates it, and
the first at a rung climbs too. A trial that is nearly there has little: another candidate's first
rung is worth more than its next one. Then only ``n / eta`` trials climb, rounded to the nearest, in
the order of the hypervolume that each alone adds. A trial that misses an accuracy floor always has
headroom.
"""

from __future__ import annotations

from collections.abc import Sequence

from compress.values.measurement import METRICS, QUALITY, Measurement
from featherweight.specs.constraints import Constraint
from featherweight.specs.objective import Objective
from featherweight.specs.stopping import EarlyStopping
from search.front import comparison, front

LITTLE = 0.03
"""A smaller share of the reachable accuracy is little headroom."""
_QUALITY = (Objective(metric=QUALITY, direction="maximise"),)


def left(
    measurement: Measurement,
    peers: Sequence[Measurement],
    *,
    baseline: Measurement | None,
    constraints: Sequence[Constraint],
) -> float | None:
    """Return the share of the reachable accuracy that a trial has not reached yet.

    It is measured on the hypervolume's axis of accuracy.

    Args:
        measurement: The trial's measurement at its rung.
        peers: The measurements of the others at this rung, in any order.
        baseline: The measurement that anchors the axis: half of its accuracy is worth nothing.
        constraints: The job's constraints; those on accuracy, or on another quality of the
            answers, are floors that training may still meet.

    Returns:
        A share from 0 to 1; None without a baseline, or if an accuracy floor is missed.
    """
    floors = [each for each in constraints if METRICS[each.metric].is_quality]
    if baseline is None or comparison.violation(measurement, floors, baseline) > 0:
        return None
    reachable = max(_worth(each, baseline) for each in (measurement, baseline, *peers))
    if reachable <= 0:
        return None
    return 1.0 - max(0.0, _worth(measurement, baseline)) / reachable


def settled(early: EarlyStopping, share: float | None) -> EarlyStopping:
    """Replace ``auto`` in the job's rule by what follows from the share ``left``."""
    tie_break, rounding = ("hypervolume", "nearest") if is_little(share) else ("front", "up")
    chosen = {
        "tie_break": tie_break if early.tie_break == "auto" else early.tie_break,
        "rounding": rounding if early.rounding == "auto" else early.rounding,
    }
    return early.model_copy(update=chosen)


def is_little(share: float | None) -> bool:
    """Return whether the share is too small to be worth training; None is not."""
    return share is not None and share < LITTLE


def is_open(early: EarlyStopping) -> bool:
    """Return whether the rule leaves a field to ``auto``."""
    return "auto" in (early.tie_break, early.rounding)


def _worth(measurement: Measurement, baseline: Measurement) -> float:
    return 1.0 - front.on_axes(measurement, _QUALITY, baseline)[0]
