"""Find counts of channels that meet a target of multiply-accumulates, parameters or bytes."""

from __future__ import annotations

from collections.abc import Callable

from compress.techniques.filter_pruning.widths import Counts

TOLERANCE = 0.05
"""Share of the whole by which the target may be missed before the candidate is refused."""
_HALVINGS = 16
CountsAt = Callable[[float], Counts]
"""The channels that stay at an amount; a larger one never keeps more."""
CostOf = Callable[[Counts], int]


def nearest(counts_at: CountsAt, *, largest: float, cost_of: CostOf, goal: float) -> Counts:
    """Return the counts whose cost is nearest to ``goal``, or the smallest possible ones.

    The amount is bisected, up to the ``largest``. The last step of rounding is then taken group by
    group, from the first layer to the last.
    """
    cost_of = _remembered(cost_of)
    low, high = 0.0, largest
    narrow = counts_at(high)
    if cost_of(narrow) >= goal:
        return narrow
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = counts_at(middle)
        if cost_of(found) <= goal:
            high, narrow = middle, found
        else:
            low = middle
    return _between(counts_at(low), narrow, cost_of=cost_of, goal=goal)


def _remembered(cost_of: CostOf) -> CostOf:
    """Return the function with a memory: amounts that are close give the same whole channels."""
    known: dict[tuple[int, ...], int] = {}

    def found(counts: Counts) -> int:
        key = tuple(counts[root] for root in sorted(counts))
        if key not in known:
            known[key] = cost_of(counts)
        return known[key]

    return found


def _between(wide: Counts, narrow: Counts, *, cost_of: CostOf, goal: float) -> Counts:
    before, cost_before = wide, cost_of(wide)
    for root in [root for root in wide if wide[root] != narrow[root]]:
        after = before | {root: narrow[root]}
        cost_after = cost_of(after)
        if cost_after <= goal:
            return after if goal - cost_after <= cost_before - goal else before
        before, cost_before = after, cost_after
    return before
