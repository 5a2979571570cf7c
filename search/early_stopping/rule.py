"""Decide whether a trial climbs: multi-objective asynchronous successive halving.

The rule is algorithm 2 of Li et al., ASHA, arXiv:1810.05934 (its reduction factor is ``eta``), with
the order of Schmucker et al., MO-ASHA, arXiv:2106.12639: by non-dominated rank. If a rank only
partly fits, ``early_stopping.tie_break`` orders its trials (``search.early_stopping.tie_breaks``).

Unlike ASHA, a trial is judged once, when it reaches the rung, against all that have been there: no
trial waits, and none is resumed later. Of the ``n`` trials seen at the rung, this one included, the
best ``n / eta`` climb. The number is rounded up, so that the first trial at a rung always climbs,
unless ``early_stopping.rounding`` says otherwise. With the tie-break ``front``, every trial that no
other dominates or equals climbs too, once one climbs. If a job says ``auto``, both follow from the
trial's headroom (``search.early_stopping.headroom``): ``front`` and up, or ``hypervolume`` and
nearest if the baseline's accuracy is close.

Constraints come first (Deb et al., 2002): every feasible trial is ahead of every infeasible one,
and infeasible ones are ordered by their violation. Below the last rung only constraints that
training cannot help to meet count (``lasting_violation``). Objectives that training does not
change, such as size, count like the others. A trial exactly as good as an earlier one is behind it.
A latency that was measured on a busy machine counts within its bounds: the trial's own at its
fastest, its peers' at their slowest.

Everything that the rule looks at is in the records of the rungs, so each decision can be repeated
from the records written before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from compress.values.measurement import METRICS, Measurement, training_seconds
from featherweight.rung_context import RungContext
from featherweight.specs.constraints import Constraint
from featherweight.specs.objective import Objective
from featherweight.specs.protocol import Decision
from featherweight.specs.states import Phase
from featherweight.specs.stopping import EarlyStopping, Rounding
from search.early_stopping import extrapolation, headroom, tie_breaks
from search.early_stopping.tie_breaks import Place
from search.front import comparison, front, pareto

LAST = "the last rung is reached"
MEASURED = "measured on test"
CHECKPOINT = "a checkpoint of the supernet: its training goes on"


def lasting_violation(
    measurement: Measurement, constraints: Sequence[Constraint], baseline: Measurement | None
) -> float:
    """Return the largest violation of a constraint on costs, which training does not change.

    A small network may miss an accuracy floor at the first rungs and meet it after recovery; its
    size, latency and counts stay what they are. At most 0 is feasible.
    """
    lasting = [each for each in constraints if not METRICS[each.metric].is_quality]
    return comparison.violation(measurement, lasting, baseline)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How trials at a rung are compared; ``baseline`` anchors the hypervolume.

    Raises ValueError if ``early`` has a field that is still ``auto``; ``headroom.settled`` replaces
    those.
    """

    objectives: Sequence[Objective]
    early: EarlyStopping
    baseline: Measurement | None = None

    def __post_init__(self) -> None:
        if headroom.is_open(self.early):
            raise ValueError("a tie-break or rounding of auto has to be settled before")


def judge(context: RungContext) -> Decision:
    """Judge a trial at a rung by its job's objectives and lasting constraints; see ``decide``.

    A supernet is not a candidate and trains to its end. A trial whose next rung would exceed
    ``budget.epochs``, or take more than its share of ``budget.seconds``, stops, however good it is.
    """
    if context.phase is Phase.TEST:
        return Decision(stop=False, reason=MEASURED)
    if context.is_last:
        return Decision(stop=False, reason=LAST)
    if context.phase is Phase.SUPERNET:
        return Decision(stop=False, reason=CHECKPOINT)
    following = context.rungs[context.rung + 1]
    if context.epochs_left is not None and following > context.epochs_left:
        return _out_of_epochs(following, context)
    return _too_long(following, context) or _compared(context)


def _out_of_epochs(following: int, context: RungContext) -> Decision:
    more = following - context.rungs[context.rung]
    left = (context.epochs_left or 0) - context.rungs[context.rung]
    budget = context.spec.budget.epochs
    return Decision(
        stop=True,
        reason=f"stops: the next rung takes {more} more epochs, and of the job's {budget} "
        f"(budget.epochs) {max(left, 0)} are free",
    )


def _too_long(following: int, context: RungContext) -> Decision | None:
    """Stop a trial that would train longer than a share of the job's seconds; None where not.

    Its own training so far says how long; before its first epoch nothing does.
    """
    spec, trained = context.spec, context.rungs[context.rung]
    share, budget = spec.early_stopping.longest, spec.budget.seconds
    if share is None or budget is None or trained == 0:
        return None
    takes = (following - trained) * training_seconds(context.measurement.seconds) / trained
    if takes <= share * budget:
        return None
    return Decision(
        stop=True,
        reason=f"stops: the next rung would train for {takes:.0f} s, and at most "
        f"{share * budget:.0f} s are allowed: {share:g} (early_stopping.longest) of the job's "
        f"{budget:g} (budget.seconds)",
    )


def _compared(context: RungContext) -> Decision:
    spec = context.spec
    demands = {"constraints": spec.constraints, "baseline": context.baseline}
    measured = [context.measurement.at_best(), *(peer.at_worst() for peer in context.peers)]
    violations = [lasting_violation(one, **demands) for one in measured]
    hopes = _hopes(context)
    seen = [hoped(one, hope) for one, hope in zip(measured, hopes, strict=True)]
    left = headroom.left(measured[0], measured[1:], **demands)
    early = headroom.settled(spec.early_stopping, left)
    decision = decide(
        seen[0],
        violations[0],
        list(zip(seen[1:], violations[1:], strict=True)),
        rule=Rule(objectives=spec.objectives, early=early, baseline=context.baseline),
    )
    if headroom.is_open(spec.early_stopping):
        decision = _with_headroom(decision, left)
    return decision if hopes[0] is None else _with_hope(decision, hopes[0])


def _with_headroom(decision: Decision, left: float | None) -> Decision:
    """Record the headroom that settled ``auto``, and mention it if it made the rule stricter."""
    if left is None or not headroom.is_little(left):
        return decision.model_copy(update={"room": left})
    words = f"; little is left to gain: {left:.1%} of the quality within reach"
    return decision.model_copy(update={"room": left, "reason": decision.reason + words})


def _with_hope(decision: Decision, hope: float) -> Decision:
    expected = f"; judged by a quality of {hope:.4f} that the last rung may bring"
    return decision.model_copy(update={"extrapolated": hope, "reason": decision.reason + expected})


def _hopes(context: RungContext) -> list[float | None]:
    """The accuracies that the trial and its peers may reach; None if not asked for or unknown."""
    if not context.spec.early_stopping.extrapolate:
        return [None] * (1 + len(context.peers))
    curves = [context.curve, *context.peer_curves]
    return extrapolation.expected(curves, num_rungs=len(context.rungs))


def hoped(measurement: Measurement, hope: float | None) -> Measurement:
    """Return the measurement with the accuracy ``hope``; unchanged if that is None."""
    if hope is None:
        return measurement
    return measurement.with_score(hope)


def decide(
    measurement: Measurement,
    violation: float,
    peers: Sequence[tuple[Measurement, float]],
    *,
    rule: Rule,
) -> Decision:
    """Judge a trial that reached a rung, and not the last one.

    Args:
        measurement: The trial's measurement at this rung.
        violation: Its ``lasting_violation``; at most 0 is feasible.
        peers: Both of every other trial that has reached this rung, in any order.
        rule: What the job compares, and how.

    Returns:
        The decision, with the rank (from 0), the number of trials seen, how many may climb, and the
        value that placed the trial among those of its rank, if that mattered.

    Raises:
        ValueError: A tie is to be broken by hypervolume, and there is no baseline.
    """
    measured = [measurement, *(peer for peer, _ in peers)]
    points = [comparison.vector(each, rule.objectives) for each in measured]
    ranks = pareto.ranks(points, [violation, *(amount for _, amount in peers)])
    allowed = _rounded(len(points) / rule.early.eta, rule.early.rounding)
    ahead = sum(rank < ranks[0] for rank in ranks)
    equals = [index for index, rank in enumerate(ranks) if rank == ranks[0]]
    is_copy = points[0] in [points[index] for index in equals[1:]]
    if rule.early.tie_break == "front" and allowed > 0 and not is_copy:
        allowed = max(allowed, ranks.count(0))
    place = None
    if ahead < allowed < ahead + len(equals):
        place = _place([measured[index] for index in equals], rule, allowed - ahead)
    position = ahead + (place.place if place else 0)
    return Decision(
        stop=position >= allowed,
        reason=_reason(ranks, position, allowed, violation) + _said(place, rule),
        rank=ranks[0],
        peers=len(points),
        allowed=allowed,
        tie_break=place.value if place else None,
    )


def _rounded(share: float, rounding: Rounding) -> int:
    """Round to a whole number of trials; halves are rounded up."""
    return math.ceil(share) if rounding == "up" else math.floor(share + 0.5)


def _place(equals: Sequence[Measurement], rule: Rule, places: int) -> Place:
    """Place the newcomer, which is the first of these equally ranked trials, among them."""
    points = [comparison.vector(each, rule.objectives) for each in equals]
    if rule.early.tie_break == "net":
        return tie_breaks.by_net(points, places)
    if rule.baseline is None:
        raise ValueError("a tie is broken by hypervolume, and there is no baseline to anchor it")
    axes = [front.on_axes(each, rule.objectives, rule.baseline) for each in equals]
    return tie_breaks.by_hypervolume(points, axes, places)


def _said(place: Place | None, rule: Rule) -> str:
    if place is None:
        return ""
    if rule.early.tie_break == "net":
        return f", at a distance of {place.value:.3g} from those taken before"
    return f", by the hypervolume that it alone adds: {place.value:.3g}"


def _reason(ranks: Sequence[int], position: int, allowed: int, violation: float) -> str:
    if len(ranks) == 1:
        return f"the first trial at this rung {'climbs' if allowed else 'stops'}"
    best = {0: "none climbs", 1: "the best climbs"}.get(allowed, f"the best {allowed} climb")
    fate = "climbs" if position < allowed else "stops"
    infeasible = f", a constraint violated by {violation:.1%} of its bound" if violation > 0 else ""
    equals = ranks.count(ranks[0])
    places = allowed - sum(rank < ranks[0] for rank in ranks)
    tied = f", {places} of {equals} with this rank" if 0 < places < equals else ""
    standing = f"rank {ranks[0]} (the front has 0) of {len(ranks)} trials at this rung"
    return f"{fate}: {standing}{infeasible}; {best}{tied}"
