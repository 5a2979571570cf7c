"""Check that images are large enough for a network, before anything is trained."""

from __future__ import annotations

from compress.network.member import Shape
from compress.network.outline import Outline
from compress.network.signature import IMAGE_AXES, ExampleShape
from compress.values.errors import InvalidCandidate
from search.errors import ImagesTooSmall
from search.space import validation
from search.space.problem import Problem


def check(outline: Outline, *, where: str, data: str) -> None:
    """Raise ImagesTooSmall if the strides on the way to the last map leave less than a pixel.

    The message names the ``data`` and the place of the network in the job, ``where``.
    """
    image, needed = outline.image, outline.least_input
    if image is None or needed is None:
        return
    side = outline.resolution
    if min(image if side is None else (side, side)) >= needed:
        return
    of = _images(image, where, data)
    of += f", resized to {side}x{side}" if side is not None else ""
    raise ImagesTooSmall(f"{of}, and {_too_small(outline, needed)}")


def check_job(problem: Problem) -> None:
    """Check the job's own model, and its members at every resolution they may have.

    Raises ImagesTooSmall.
    """
    spec = problem.spec
    check(problem.own, where="model", data=spec.data)
    where = "model" if spec.student is None else "student"
    sides = validation.values_of(problem.space.knobs)("family_member.resolution")
    for side in sorted(set(sides)):
        place = f"{where} at family_member.resolution = {side}" if side else where
        check_member(problem, Shape(resolution=int(side)), where=place)


def check_member(problem: Problem, shape: Shape, *, where: str) -> None:
    """Check one of the members that the job tries. Raises ImagesTooSmall."""
    data = problem.spec.data
    try:
        member = problem.outline.member(shape)
    except InvalidCandidate as error:
        raise unfit(error, problem.dataset.input_shape, where=where, data=data) from error
    check(member, where=where, data=data)


def unfit(error: InvalidCandidate, shape: ExampleShape, *, where: str, data: str) -> ImagesTooSmall:
    """Return the error of a network that cannot be outlined for such examples."""
    if len(shape) != IMAGE_AXES:
        return ImagesTooSmall(f"{where}: the examples of {data!r} have shape {shape}, and {error}")
    return ImagesTooSmall(f"{_images((shape[1], shape[2]), where, data)}, and {error}")


def _images(image: tuple[int, int], where: str, data: str) -> str:
    return f"{where}: the images of {data!r} are {image[0]}x{image[1]} pixels"


def _too_small(outline: Outline, needed: int) -> str:
    if outline.elastic is None:
        return f"this network needs at least {needed} on each side: use larger images"
    return (
        f"the strides of this {outline.elastic.family} network divide their sides by {needed}: "
        f"give it a resolution of at least {needed}, fewer stages, or larger images"
    )
