"""Choose the sampler of a job that leaves the choice open. No sampler is imported here."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TypeAlias

from compress.values.measurement import METRICS, Metric
from featherweight.specs.job import SamplerName
from search.errors import SamplerDoesNotFit
from search.space import grid, known_costs
from search.space.problem import Problem
from search.space.space import Space

Choice: TypeAlias = tuple[SamplerName, str]
"""The name of a sampler, and the reason for it."""

MOST_GP_KNOBS = 6
MOST_GP_TRIALS = 300
MOST_LEARNED_TRIALS = 3_000
MOST_LEARNED_KNOBS = 24
"""Each knob has a weight that is learned from the trials, so there may not be many."""
LEARNED_TRIAL_MACS = 2.2e11
"""Five seconds of a core with early stopping; a proposal takes less than 1 % of that."""
LONG_TRIAL_MACS = 3e11
"""A trial so long that hardly two candidates end while one is proposed."""
_PASSES = 3
"""Passes of a training step: forward, backward to activations, and backward to weights."""


def trial_macs(problem: Problem) -> float:
    """Return the MACs of training the whole network as a candidate that is never stopped."""
    once = problem.outline.macs
    return float(_PASSES * once * problem.train_images * problem.spec.early_stopping.rungs[-1])


def choose_auto(
    space: Space, trials: int, *, metrics: Collection[Metric], macs: float = 0.0
) -> Choice:
    """Choose a sampler, and say why.

    NSGA-II is chosen if there are so many trials that every sampler that learns gets slow. The
    sampler that knows what candidates cost (docs/samplers/known_cost.md) is chosen if all costs can
    be counted, and if a trial takes so long that the time of a proposal does not matter; it has
    been measured to win in both cases. Otherwise it is a Gaussian process where that is at its best
    (few knobs, all real) and affordable (its cost grows with the cube of the trials), or else TPE,
    whose proposals cost a tenth.

    Args:
        space: The job's space.
        trials: Number of search trials of the job.
        metrics: The metrics of its objectives.
        macs: ``trial_macs``; 0 if unknown.
    """
    knobs = space.turning
    if not knobs:
        return "random", "nothing can be turned"
    if trials > MOST_LEARNED_TRIALS:
        return "nsga2", f"{trials} trials are more than {MOST_LEARNED_TRIALS}"
    costs = sorted({metric for metric in metrics if not METRICS[metric].is_quality})
    if costs and known_costs.is_exact(space) and set(costs) <= set(known_costs.COUNTED):
        return "known_cost", f"{' and '.join(costs)} of every candidate can be counted"
    if macs >= LEARNED_TRIAL_MACS and len(knobs) <= MOST_LEARNED_KNOBS:
        return "known_cost", f"a candidate trains for up to {macs:.1e} multiply-accumulates"
    if not all(math.isinf(grid.size(knob)) for knob in knobs):
        return "tpe", "knobs on a grid or choices, and costs that must be measured"
    if len(knobs) <= MOST_GP_KNOBS and trials <= MOST_GP_TRIALS:
        return "gp", f"{len(knobs)} real knobs and {trials} trials"
    return "tpe", f"{len(knobs)} real knobs and {trials} trials"


def resolve(problem: Problem) -> Choice:
    """Return the sampler that a job will really use, and why; see ``choose_auto``."""
    spec, space = problem.spec, problem.space
    if spec.sampler != "auto":
        return spec.sampler, "asked for by name"
    macs = trial_macs(problem)
    return choose_auto(space, spec.search_trials, metrics=spec.metrics, macs=macs)


def check(name: SamplerName, space: Space, *, num_objectives: int) -> None:
    """Raise SamplerDoesNotFit for a sampler that cannot search the space."""
    if name != "cmaes":
        return
    if num_objectives > 1:
        raise SamplerDoesNotFit(
            f"cmaes searches for one objective, and the job has {num_objectives}: name one, make "
            "the others constraints, or take another sampler"
        )
    words = [knob.name for knob in space.turning if knob.kind == "categorical"]
    if words:
        raise SamplerDoesNotFit(
            f"cmaes turns numbers only, and {words} are choices: give them a range (low and high), "
            "fix them, or take another sampler"
        )
