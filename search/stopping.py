"""Whether a trial climbs to the next rung: multi-objective asynchronous successive halving.

Li et al., ASHA, arXiv:1810.05934, algorithm 2, with the order of Schmucker et al., MO-ASHA,
arXiv:2106.12639: non-dominated rank first, and inside a rank the epsilon-net of Salinas et al.,
arXiv:2106.05680: begin at the knee, then always the point farthest from those already taken.

What differs: a trial is judged once, when it reaches the rung, against all that have been there;
nobody waits and nobody is called back. Of the ``n`` seen at the rung, this one included, the best
``ceil(n / eta)`` climb, so the first trial at a rung always does. Constraints come first (Deb et
al., 2002): any feasible trial is ahead of any infeasible one, and infeasible ones are ordered by
how much they violate. Below the last rung only constraints that training cannot mend count (see
``lasting_violation``). Objectives that training does not change, such as size, count like the
others. A trial exactly as good as an earlier one is behind it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from compress.measurement import Measurement
from featherweight.specs.constraints import Constraint
from featherweight.specs.job import JobSpec, Objective
from featherweight.specs.protocol import Decision
from featherweight.specs.states import Phase
from search import objectives as metrics
from search import pareto

LAST = "the last rung is reached"
CHECKPOINT = "a checkpoint of the supernet: its training goes on"


def lasting_violation(
    measurement: Measurement, constraints: Sequence[Constraint], baseline: Measurement | None
) -> float:
    """The largest violation that more training cannot mend: of every constraint but on accuracy.

    A small network misses an accuracy floor at the first rungs and meets it after recovery; size,
    latency and counts stay what they are. At most 0 is feasible.
    """
    lasting = [constraint for constraint in constraints if constraint.metric != "accuracy"]
    return metrics.violation(measurement, lasting, baseline)


class Reached(Protocol):
    """A rung that a trial has reached, as the rule sees it."""

    @property
    def measurement(self) -> Measurement:
        """What was measured of the trial at this rung."""
        ...

    @property
    def peers(self) -> Sequence[Measurement]:
        """The same of every other trial of the phase that has reached it; unused at the last."""
        ...

    @property
    def phase(self) -> Phase:
        """What the trial is for."""
        ...

    @property
    def is_last(self) -> bool:
        """Whether there is no rung above."""
        ...

    @property
    def spec(self) -> JobSpec:
        """What the job compares and demands."""
        ...

    @property
    def baseline(self) -> Measurement | None:
        """What relative constraints refer to."""
        ...


def judge(reached: Reached) -> Decision:
    """The rule of every job: ``decide`` by its objectives and its lasting constraints.

    A supernet is no candidate: it trains to its end.
    """
    if reached.phase is Phase.SUPERNET and not reached.is_last:
        return Decision(stop=False, reason=CHECKPOINT)
    spec = reached.spec
    demands = {"constraints": spec.constraints, "baseline": reached.baseline}
    return decide(
        reached.measurement,
        lasting_violation(reached.measurement, **demands),
        [(peer, lasting_violation(peer, **demands)) for peer in reached.peers],
        objectives=spec.objectives,
        eta=spec.early_stopping.eta,
        is_last=reached.is_last,
    )


def decide(
    measurement: Measurement,
    violation: float,
    peers: Sequence[tuple[Measurement, float]],
    *,
    objectives: Sequence[Objective],
    eta: float,
    is_last: bool,
) -> Decision:
    """Judge a trial that reached a rung.

    Args:
        measurement: What was measured of it at this rung.
        violation: Its ``lasting_violation``; at most 0 is feasible.
        peers: The same of every other trial that has reached this rung, in any order.
        objectives: What the job compares.
        eta: One of ``eta`` trials climbs; above 1.
        is_last: Whether there is no rung above; then there is nothing to decide.

    Returns:
        The decision with rank (from 0), number of trials seen and how many may climb.
    """
    if is_last:
        return Decision(stop=False, reason=LAST)
    points = [metrics.vector(measurement, objectives)]
    points += [metrics.vector(peer, objectives) for peer, _ in peers]
    violations = [violation, *(amount for _, amount in peers)]
    ranks = pareto.ranks(points, violations)
    allowed = math.ceil(len(points) / eta)
    position = _position(points, ranks, allowed)
    return Decision(
        stop=position >= allowed,
        reason=_reason(ranks, position, allowed, violation),
        rank=ranks[0],
        peers=len(points),
        allowed=allowed,
    )


def _position(points: Sequence[pareto.Point], ranks: Sequence[int], allowed: int) -> int:
    """How many trials are ahead of the first point, looking only as far as it matters."""
    ahead = sum(rank < ranks[0] for rank in ranks)
    equals = [point for point, rank in zip(points, ranks, strict=True) if rank == ranks[0]]
    if ahead >= allowed or ahead + len(equals) <= allowed:
        return ahead
    return ahead + _place(equals, allowed - ahead)


def _place(points: Sequence[pareto.Point], places: int) -> int:
    """Where the epsilon-net takes the first point, counted from 0; ``places`` if it does not.

    The first point is the newcomer. It loses every tie, and other ties go to the lexicographically
    smallest point, so that the order of the peers does not matter.
    """
    order = sorted(range(len(points)), key=lambda index: (tuple(points[index]), index == 0))
    newcomer = order.index(0)
    points = [points[index] for index in order]
    scaled = pareto.unit(points)
    nearest = np.full(len(points), np.inf)
    taken = pareto.knee(points)
    for place in range(places):
        if taken == newcomer:
            return place
        away = np.linalg.norm(scaled - scaled[taken], axis=1)
        nearest = np.round(np.minimum(nearest, away), 12)
        nearest[taken] = -np.inf
        taken = int(nearest.argmax())
    return places


def _reason(ranks: Sequence[int], position: int, allowed: int, violation: float) -> str:
    if len(ranks) == 1:
        return "the first trial at this rung climbs"
    best = "the best climbs" if allowed == 1 else f"the best {allowed} climb"
    fate = "climbs" if position < allowed else "stops"
    infeasible = f", a constraint violated by {violation:.1%} of its bound" if violation > 0 else ""
    equals = ranks.count(ranks[0])
    places = allowed - sum(rank < ranks[0] for rank in ranks)
    tied = f", {places} of {equals} with this rank" if 0 < places < equals else ""
    standing = f"rank {ranks[0]} of {len(ranks)} trials at this rung"
    return f"{fate}: {standing}{infeasible}; {best}{tied}"
