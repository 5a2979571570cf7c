"""How much more training can still bring a trial, and what a job that says ``auto`` makes of it.

Training is taken to bring a compressed network to the baseline's accuracy, or to the best that a
peer has at the same rung. A trial far below has room: it climbs as long as nothing dominates it,
and the first at a rung climbs too. One that is nearly there has little: another candidate's first
rung is worth more than its next one, so only the share ``n / eta``, rounded to the nearest, climbs,
by the hypervolume that it alone adds. As long as an accuracy floor is missed there is room.
"""

from __future__ import annotations

from collections.abc import Sequence

from compress.values.measurement import METRICS, Measurement
from featherweight.specs.constraints import Constraint
from featherweight.specs.objective import Objective
from featherweight.specs.stopping import EarlyStopping
from search.front import comparison, front

LITTLE = 0.03
"""Below this share of what can be had, the room is little."""
_ACCURACY = (Objective(metric="accuracy", direction="maximise"),)


def left(
    measurement: Measurement,
    peers: Sequence[Measurement],
    *,
    baseline: Measurement | None,
    constraints: Sequence[Constraint],
) -> float | None:
    """The share of the reachable that is not reached yet, on the hypervolume's axis of accuracy.

    Args:
        measurement: What was measured of the trial at its rung.
        peers: The same of the others that have been there, in any order.
        baseline: What anchors the axis; half of its accuracy is worth nothing.
        constraints: The job's; those on accuracy, or another quality of the answers, are floors
            that training may still meet.

    Returns:
        0 to 1; None where there is no baseline, or where an accuracy floor is missed.
    """
    floors = [each for each in constraints if METRICS[each.metric].is_quality]
    if baseline is None or comparison.violation(measurement, floors, baseline) > 0:
        return None
    reachable = max(_worth(each, baseline) for each in (measurement, baseline, *peers))
    if reachable <= 0:
        return None
    return 1.0 - max(0.0, _worth(measurement, baseline)) / reachable


def settled(early: EarlyStopping, share: float | None) -> EarlyStopping:
    """The job's rule with what it leaves to us decided by what is ``left``."""
    tie_break, rounding = ("hypervolume", "nearest") if is_little(share) else ("front", "up")
    chosen = {
        "tie_break": tie_break if early.tie_break == "auto" else early.tie_break,
        "rounding": rounding if early.rounding == "auto" else early.rounding,
    }
    return early.model_copy(update=chosen)


def is_little(share: float | None) -> bool:
    """Whether so small a share is not worth a training of its own; None is room enough."""
    return share is not None and share < LITTLE


def is_open(early: EarlyStopping) -> bool:
    """Whether the rule leaves anything to be settled."""
    return "auto" in (early.tie_break, early.rounding)


def _worth(measurement: Measurement, baseline: Measurement) -> float:
    return 1.0 - front.on_axes(measurement, _ACCURACY, baseline)[0]
