"""Which sampler a job gets when it leaves the choice open. Pure: no sampler is imported."""

from __future__ import annotations

import math

from featherweight.specs.job import SamplerName
from search import grid
from search.space import Space

MOST_GP_KNOBS = 6
MOST_GP_TRIALS = 300
MOST_TPE_TRIALS = 3_000


def choose_auto(space: Space, trials: int) -> tuple[SamplerName, str]:
    """A sampler's name and the reason, from the space and the number of search trials.

    A Gaussian process where it is at its best (few knobs, all real) and affordable (its cost grows
    with the cube of the trials); NSGA-II where even TPE gets slow; TPE everywhere else.
    """
    knobs = space.turning
    if not knobs:
        return "random", "nothing can be turned"
    if trials > MOST_TPE_TRIALS:
        return "nsga2", f"{trials} trials are more than {MOST_TPE_TRIALS}"
    real = all(math.isinf(grid.size(knob)) for knob in knobs)
    if real and len(knobs) <= MOST_GP_KNOBS and trials <= MOST_GP_TRIALS:
        return "gp", f"{len(knobs)} real knobs and {trials} trials"
    return (
        "tpe",
        "knobs on a grid or choices" if not real else f"{len(knobs)} knobs, {trials} trials",
    )


def resolve(name: SamplerName, space: Space, trials: int) -> tuple[SamplerName, str]:
    """The sampler that a job will really use, and why."""
    return choose_auto(space, trials) if name == "auto" else (name, "asked for by name")
