"""The value of trying a point: learned from a study, and exact for known costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.samplers import stateless
from search.samplers.history import History
from search.samplers.known_cost import fidelity, improvement, learned, scales, surrogate
from search.samplers.known_cost.fidelity import RungEvidence
from search.samplers.known_cost.improvement import Guess
from search.samplers.known_cost.knowledge import Facts
from search.samplers.known_cost.learned import Learned
from search.samplers.known_cost.scales import ObjectiveScale
from search.samplers.known_cost.surrogate import Blocks, Surrogate
from search.samplers.parameters import Codes, Parameter

Array = NDArray[np.float64]
_REACH = 2.0
"""Length of the axis of a known cost, the same as that of a numeric knob."""


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The coordinates for learning: those of the knobs, and what is known.

    ``explained`` knobs have no coordinates of their own.
    """

    knobs: Sequence[Parameter]
    explained: frozenset[str]
    costs: Mapping[int, ObjectiveScale]
    estimates: Mapping[int, ObjectiveScale]
    hints: Sequence[ObjectiveScale]
    has_rungs: bool

    @classmethod
    def over(
        cls,
        knobs: Sequence[Parameter],
        known: Sequence[Facts],
        *,
        has_rungs: bool,
        explained: frozenset[str] = frozenset(),
    ) -> Axes:
        """Make axes that cover all of these points; with rungs, one more for the training."""
        first = known[0]
        costs = {
            i: ObjectiveScale.over(np.concatenate([f.costs[i] for f in known])) for i in first.costs
        }
        estimates = {
            i: ObjectiveScale.over(np.concatenate([f.estimates[i] for f in known]))
            for i in first.estimates
        }
        hints = [
            ObjectiveScale.over(np.concatenate(each))
            for each in zip(*(f.hints for f in known), strict=True)
        ]
        return cls(
            knobs=knobs,
            explained=explained,
            costs=costs,
            estimates=estimates,
            hints=hints,
            has_rungs=has_rungs,
        )

    def blocks(self, codes: Codes, facts: Facts, trained: Array | None = None) -> list[Array]:
        """Return coordinates in blocks (see ``parameters``); ``trained`` is 1 by default."""
        found = [
            block
            for knob, column in zip(self.knobs, codes.T, strict=True)
            if knob.name not in self.explained
            for block in knob.blocks(column)
        ]
        found += [line[:, None] for line in self._lines(facts, len(codes)).T]
        if self.has_rungs:
            found.append((np.ones(len(codes)) if trained is None else trained)[:, None])
        return found

    def lines_of(self, index: int, facts: Facts, size: int) -> Array:
        """The axes that a learned objective follows: its own estimate, or everything known."""
        if index in self.estimates:
            return facts.estimates[index][:, None]
        return self._lines(facts, size)

    def _lines(self, facts: Facts, size: int) -> Array:
        lines = [scale.of(facts.costs[i]) for i, scale in self.costs.items()]
        lines += [scale.of(facts.estimates[i]) for i, scale in self.estimates.items()]
        lines += [scale.of(hint) for scale, hint in zip(self.hints, facts.hints, strict=True)]
        return _REACH * np.stack(lines, axis=1) if lines else np.empty((size, 0))


@dataclass(frozen=True, kw_only=True)
class Model:
    """Everything that a score needs, made by ``learn``.

    ``front`` holds the feasible trials and, at their expected values, those that run.
    """

    axes: Axes
    objectives: Mapping[int, Learned]
    constraints: Mapping[str, Surrogate]
    front: Array
    reference: Array
    has_feasible: bool

    def score(self, codes: Codes, facts: Facts) -> Array:
        """Return the score of each point, ``(N,)``; the one with the highest should be tried.

        It is the logarithm of the expected improvement of the hypervolume times the probability
        that every constraint holds, or of that probability alone while no trial is feasible
        (Schonlau, Welch and Jones, 1998; Gardner et al., ICML 2014). If no point is expected to
        improve it, the uncertainty about the point takes the place of the improvement.
        """
        blocks = self.axes.blocks(codes, facts)
        chance = self.log_feasible(blocks)
        if not self.has_feasible:
            return chance
        guesses = self.guesses(blocks, facts)
        gain = improvement.expected(guesses, self.front, self.reference)
        if gain.max(initial=0.0) > 0:
            with np.errstate(divide="ignore"):
                return np.log(np.maximum(gain, 0.0)) + chance
        doubts = [np.log(g.deviation) for g in guesses if g.deviation is not None]
        return np.sum(doubts, axis=0) + chance if doubts else chance

    def guesses(self, blocks: Blocks, facts: Facts) -> list[Guess]:
        """Guess every objective at every point, on the axes of the hypervolume."""
        found: list[Guess] = []
        for index in range(len(self.reference)):
            if index in self.axes.costs:
                found.append(Guess(mean=self.axes.costs[index].of(facts.costs[index])))
            else:
                lines = self.axes.lines_of(index, facts, len(blocks[0]))
                found.append(self.objectives[index].guess(blocks, lines))
        return found

    def log_feasible(self, blocks: Blocks) -> Array:
        """Return the logarithm of the probability that every learned constraint holds."""
        from scipy.special import log_ndtr

        total = np.zeros(len(blocks[0]))
        for constraint in self.constraints.values():
            mean, deviation = constraint.predict(blocks)
            total += log_ndtr(-mean / deviation)
        return total


def learn(history: History, axes: Axes, told: Facts, running: Facts) -> Model:
    """Learn a model of a study with at least one told trial.

    Args:
        history: The study.
        axes: The coordinates, also for candidates.
        told: What is known of the told trials.
        running: What is known of the running ones.
    """
    targets = _targets(history, axes, told)
    violation = _violation(history, told)
    most = surrogate.MOST_POINTS
    rows = stateless.chosen(targets, violation, most=most)
    seen = fidelity.evidence(history, rows, most=most)
    known = told.at(seen.trial)
    blocks = axes.blocks(history.told[seen.trial], known, seen.trained)
    waiting = axes.blocks(history.running, running)
    objectives = {
        index: _learned(index, seen, axes, known, blocks)
        for index in range(targets.shape[1])
        if index not in axes.costs
    }
    constraints = {
        key: fitted.believing(waiting)
        for key in history.violations
        if key not in told.limits and (fitted := _limit(seen, key, blocks)) is not None
    }
    feasible = violation <= 0
    worst, best = targets.max(axis=0), targets.min(axis=0)
    span = np.where(worst > best, worst - best, 1.0)
    reference = worst + scales.BEYOND * span
    for index in axes.costs:
        reference[index] = 1.0 + scales.BEYOND
    model = Model(
        axes=axes,
        objectives=objectives,
        constraints=constraints,
        front=targets[feasible],
        reference=reference,
        has_feasible=bool(feasible.any()),
    )
    return _believing(model, waiting, running)


def _believing(model: Model, waiting: Blocks, running: Facts) -> Model:
    """Return the model after the running trials turned out as it expects."""
    if len(waiting[0]) == 0:
        return model
    means = np.stack([guess.mean for guess in model.guesses(waiting, running)], axis=1)
    likely = model.log_feasible(waiting) >= np.log(0.5)
    for amounts in running.limits.values():
        likely &= amounts <= 0
    objectives = {index: each.believing(waiting) for index, each in model.objectives.items()}
    return Model(
        axes=model.axes,
        objectives=objectives,
        constraints=model.constraints,
        front=np.concatenate([model.front, means[likely]]),
        reference=model.reference,
        has_feasible=model.has_feasible,
    )


def _targets(history: History, axes: Axes, told: Facts) -> Array:
    """The values ``(told, objectives)`` of the told trials for front and surrogates."""
    columns = []
    for index, values in enumerate(history.values.T):
        if index in axes.costs:
            columns.append(axes.costs[index].of(told.costs[index]))
        else:
            columns.append(scales.fenced(_plain(values, index, told)))
    return np.stack(columns, axis=1)


def _plain(values: Array, index: int, told: Facts) -> Array:
    """The values from which an objective is learned, before they are fenced."""
    if index not in told.estimates:
        return values
    if (values <= 0).any():
        raise ValueError(
            f"objective {index} has an estimate, so it must be minimised and positive, got "
            f"{values.min()}: leave the estimate out"
        )
    return np.log(values)


def _violation(history: History, told: Facts) -> Array:
    """The largest violation of each told trial; -1 without constraints."""
    amounts = [*history.violations.values(), *told.limits.values()]
    every = np.stack([np.full(len(history.told), -np.inf), *amounts], axis=1)
    return np.nan_to_num(np.nanmax(every, axis=1), neginf=-1.0)


def _learned(index: int, seen: RungEvidence, axes: Axes, known: Facts, blocks: Blocks) -> Learned:
    """Learn one objective from the evidence; ``known`` is what is known of its points."""
    values = fidelity.lifted(seen, _plain(seen.values[:, index], index, known))
    learn_from = learned.from_estimate if index in axes.estimates else learned.from_costs
    return learn_from(scales.fenced(values), blocks, axes.lines_of(index, known, len(values)))


def _limit(seen: RungEvidence, key: str, blocks: Blocks) -> Surrogate | None:
    """Learn a constraint's violation; None if no trial has one."""
    amounts = fidelity.lifted(seen, seen.violations[key])
    known = ~np.isnan(amounts)
    if not known.any():
        return None
    fair = -scales.fenced(-scales.fenced(amounts[known]))
    return surrogate.fit([block[known] for block in blocks], fair)
