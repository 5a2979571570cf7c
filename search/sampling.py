"""Which sampler a job gets when it leaves the choice open. Pure: no sampler is imported."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TypeAlias

from compress.measurement import Metric
from featherweight.specs.job import SamplerName
from search import grid, known_costs
from search.errors import SamplerDoesNotFit
from search.space import Space

Choice: TypeAlias = tuple[SamplerName, str]
"""The name of a sampler, and the reason for it."""

MOST_GP_KNOBS = 6
MOST_GP_TRIALS = 300
MOST_LEARNED_TRIALS = 3_000


def choose_auto(space: Space, trials: int, *, metrics: Collection[Metric]) -> Choice:
    """A sampler's name and the reason.

    A Gaussian process where it is at its best (few knobs, all real) and affordable (its cost grows
    with the cube of the trials); NSGA-II where everything that learns gets slow; the sampler that
    knows what candidates cost where all costs can be counted (docs/samplers/known_cost.md): there
    it has been measured to win. Everywhere else TPE, whose proposals cost a tenth.

    Args:
        space: The job's space.
        trials: Search trials of the job.
        metrics: Of its objectives.
    """
    knobs = space.turning
    if not knobs:
        return "random", "nothing can be turned"
    if trials > MOST_LEARNED_TRIALS:
        return "nsga2", f"{trials} trials are more than {MOST_LEARNED_TRIALS}"
    costs = sorted(set(metrics) - {"accuracy"})
    if costs and known_costs.is_exact(space) and set(costs) <= set(known_costs.COUNTED):
        return "known_cost", f"{' and '.join(costs)} of every candidate can be counted"
    if not all(math.isinf(grid.size(knob)) for knob in knobs):
        return "tpe", "knobs on a grid or choices, and costs that must be measured"
    if len(knobs) <= MOST_GP_KNOBS and trials <= MOST_GP_TRIALS:
        return "gp", f"{len(knobs)} real knobs and {trials} trials"
    return "tpe", f"{len(knobs)} real knobs and {trials} trials"


def resolve(name: SamplerName, space: Space, trials: int, *, metrics: Collection[Metric]) -> Choice:
    """The sampler that a job will really use, and why."""
    if name == "auto":
        return choose_auto(space, trials, metrics=metrics)
    return name, "asked for by name"


def check(name: SamplerName, space: Space, *, num_objectives: int) -> None:
    """Raises SamplerDoesNotFit for a sampler that cannot search the space."""
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
