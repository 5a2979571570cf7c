"""Find an untried candidate if the sampler keeps proposing known ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Sequence

import numpy as np

from compress.techniques.candidate import Candidate
from compress.values.knobs import Scalar
from search.space import grid
from search.space.space import Space

MOST_ENUMERATED = 200_000
_DRAWS = 20_000
_MOST_REFUSED = 1_000
Admits = Callable[[Candidate], bool]


def _everything(candidate: Candidate) -> bool:
    return True


def find(
    space: Space, seen: Container[str], *, seed: Sequence[int], admits: Admits = _everything
) -> dict[str, Scalar] | None:
    """Return the values of an admitted candidate whose digest is not in ``seen``, or None.

    Spaces of up to 200,000 combinations are enumerated in an order that the seed determines; in
    larger ones 20,000 random points are tried. Both end after a thousand new candidates that are
    not admitted, so None is certain only for a small space in which fewer were refused.
    """
    refused = 0
    for params in _points(space, np.random.default_rng(seed)):
        candidate = space.candidate(params)
        if candidate.digest() in seen:
            continue
        if admits(candidate):
            return params
        refused += 1
        if refused == _MOST_REFUSED:
            break
    return None


def _points(space: Space, random: np.random.Generator) -> Iterator[dict[str, Scalar]]:
    combinations = math.prod(grid.size(knob) for knob in space.turning)
    if combinations <= MOST_ENUMERATED:
        for index in random.permutation(int(combinations)):
            yield _at(space, int(index))
        return
    for _ in range(_DRAWS):
        yield {knob.name: grid.draw(knob, random) for knob in space.turning}


def _at(space: Space, index: int) -> dict[str, Scalar]:
    """Return the combination with this number, whose digits are the knobs."""
    params = {}
    for knob in space.turning:
        index, digit = divmod(index, int(grid.size(knob)))
        params[knob.name] = grid.value(knob, digit)
    return params
