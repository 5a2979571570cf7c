"""Whether a network's strides leave something of the images, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator

from compress.network.families import layout
from compress.network.families.catalog import Architecture, plan_of
from compress.network.families.plans.plan import (
    Cell,
    Chain,
    Concat,
    Conv,
    Edge,
    Node,
    Pad,
    Pool,
    Sum,
)
from compress.network.member import Shape
from compress.values.errors import InvalidCandidate
from search.errors import ImagesTooSmall
from search.space import validation
from search.space.problem import Image, Problem


def check(architecture: Architecture, *, image: Image, where: str, data: str) -> None:
    """Raises ImagesTooSmall, naming ``where`` the network stands in the job, the ``data``, numbers.

    The strides on the way to the last map may not divide an image into less than a pixel.
    """
    seen = (architecture.resolution,) * 2 if architecture.resolution else image
    of = f"{where}: the images of {data!r} are {image[0]}x{image[1]} pixels" + (
        f", resized to {seen[0]}x{seen[1]}" if architecture.resolution else ""
    )
    needed = _stride(plan_of(architecture, in_channels=1, num_classes=2).chains)
    try:
        vanished = _vanished(architecture, image)
    except InvalidCandidate as error:
        raise ImagesTooSmall(f"{of}, and {error}") from error
    if min(seen) >= needed and vanished is None:
        return
    what = (
        f"the strides of this {architecture.family} network divide their sides by {needed}"
        if vanished is None
        else f"nothing is left of them at {vanished} of this {architecture.family} network"
    )
    raise ImagesTooSmall(
        f"{of}, and {what}: give it a resolution of at least {needed}, fewer stages, or larger "
        "images"
    )


def check_job(problem: Problem) -> None:
    """Check the job's own model, and its members at every resolution they may have.

    Raises ImagesTooSmall.
    """
    spec, space, image = problem.spec, problem.space, problem.image
    check(problem.own, image=image, where="model", data=spec.data)
    where = "model" if spec.student is None else "student"
    for side in sorted(set(validation.values_of(space.knobs)("family_member.resolution"))):
        place = f"{where} at family_member.resolution = {side}" if side else where
        member = space.architecture.member(Shape(resolution=int(side)))
        check(member, image=image, where=place, data=spec.data)


def _vanished(architecture: Architecture, image: Image) -> str | None:
    """The first layer that sees, or leaves, less than a pixel."""
    rows = layout.layers(architecture, in_channels=1, num_classes=2, image=image)
    maps = ((row.name, row.output[1:]) for row in rows if row.output and row.kind != "linear")
    return next((name for name, size in maps if min(size) < 1), None)


def _stride(node: Node | Chain | tuple[Chain, ...]) -> int:
    """By how much a node divides the sides of its maps."""
    match node:
        case Conv():
            return max(node.steps)
        case Pad():
            return node.stride
        case Pool():
            return 1 if node.kind == "global" else node.stride
        case Sum() | Concat():
            return max(map(_stride, node.branches))
        case Cell():
            return max((_stride(edge.chain) for edge in _edges(node)), default=1)
        case tuple():
            return math.prod(map(_stride, node))
        case _:
            return 1


def _edges(cell: Cell) -> Iterator[Edge]:
    return (edge for edges in cell.nodes for edge in edges)
