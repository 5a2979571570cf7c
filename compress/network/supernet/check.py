"""Check whether a supernet can be trained as asked, before compute is spent. Torch-free."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from compress.network.member import Shape
from compress.network.outline import ElasticNetwork
from compress.network.supernet.config import Elastic
from compress.network.supernet.draw import passable
from compress.values.errors import InvalidCandidate

_SIZES = ("width", "depth", "kernel", "expansion")


def check(elastic: Elastic, whole: ElasticNetwork, *, epochs: int = 1) -> None:
    """Raise InvalidCandidate if there is nothing to share, or no time to train it.

    ``whole`` is the supernet, that is its largest member, and ``epochs`` the most that all of its
    training may take.
    """
    if epochs < 1:
        raise InvalidCandidate(
            f"the supernet may be trained for {epochs} epochs: give it enough for one at least"
        )
    _check_dimensions(elastic, whole)
    _check_largest(elastic, whole)
    if not _has_members(elastic, whole):
        raise InvalidCandidate(
            "the supernet has no members but itself: give one of "
            f"{sorted(whole.dimensions)} smaller values too"
        )
    passable(elastic, random.Random(0), is_constant=whole.is_constant)


def values(elastic: Elastic) -> Iterator[Shape]:
    """Return members that have every value once, with the most of everything else."""
    most = elastic.largest
    yield from (replace(most, width=width) for width in elastic.widths)
    yield from (replace(most, depth=depth) for depth in elastic.depths)
    yield from (replace(most, kernel=kernel) for kernel in elastic.kernels)
    yield from (replace(most, expansion=expansion) for expansion in elastic.expansions)
    for turn in range(max((len(names) for names in elastic.operations), default=0)):
        yield replace(most, cell=tuple(names[turn % len(names)] for names in elastic.operations))


def _check_dimensions(elastic: Elastic, whole: ElasticNetwork) -> None:
    as_is = Shape()
    asked = {
        name
        for name in _SIZES
        for shape in values(elastic)
        if getattr(shape, name) != getattr(as_is, name)
    }
    asked |= {"cell"} if elastic.operations else set()
    unknown = sorted(asked - whole.dimensions)
    if unknown:
        raise InvalidCandidate(
            f"members of the {whole.family} family do not differ in "
            f"{' or '.join(unknown)}: leave it out of the supernet, they differ in "
            f"{sorted(whole.dimensions)}"
        )


def _check_largest(elastic: Elastic, whole: ElasticNetwork) -> None:
    """Check that the supernet is the largest of its members, which are shares of it."""
    all_of_it = {
        "width": 1.0,
        "depth": whole.largest_depth,
        "kernel": whole.largest_kernel,
        "expansion": 1.0,
    }
    for name, most in all_of_it.items():
        largest = getattr(elastic.largest, name)
        if largest < most:
            raise InvalidCandidate(
                f"the largest {name} of the supernet is {largest:g}, which is not all of the "
                f"network: add {most:g} to its values, or start from a smaller network"
            )


def _has_members(elastic: Elastic, whole: ElasticNetwork) -> bool:
    """Whether some member is another network than the largest."""
    if elastic.operations:
        return elastic.num_shapes > 1
    return not whole.is_whole(elastic.smallest)
