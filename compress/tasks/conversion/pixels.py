"""Images as people have them: either order of axes, any type of number. Torch-free.

Legend: N images, H height, W width, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from compress.network.signature import Layout
from compress.tasks.conversion import numbers
from compress.tasks.formats import npz
from compress.tasks.formats.example_forms import MAX_CHANNELS, SIDES
from compress.values.errors import InvalidData
from compress.values.measurement import Split
from compress.values.shown import some

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """How the images of all splits become (N, H, W) or (N, H, W, C) of one type."""

    layout: Layout
    dtype: Literal["uint8", "float32"]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def shape(self, given: Shape) -> Shape:
        """Return the shape that an array of the given shape gets."""
        if self.layout == "NHWC" or len(given) != 4:
            return given
        images, channels, height, width = given
        return images, height, width, channels

    def converted(self, rows: Iterator[NDArray[np.generic]]) -> Iterator[NDArray[np.generic]]:
        """Yield some images after the other as they shall be."""
        for some_N in rows:
            if self.layout == "NCHW" and some_N.ndim == 4:
                some_N = some_N.transpose(0, 2, 3, 1)
            with np.errstate(over="ignore", invalid="ignore"):
                yield np.ascontiguousarray(some_N, self.dtype)


def readings(archive: npz.Archive, arrays: Mapping[Split, str]) -> int:
    """Return how often arrays are read to decide about them and to convert them."""
    headers = [archive.arrays[name] for name in arrays.values()]
    return 2 if numbers.needs_range(headers) else 1


def plan(
    archive: npz.Archive, arrays: Mapping[Split, str], *, layout: Layout | None = None
) -> Pixels:
    """Decide how images are read. Raises InvalidData for arrays that are no images."""
    headers = [archive.arrays[name] for name in arrays.values()]
    order, warnings = _layout(headers, layout)
    dtype, notes = numbers.dtype(archive, headers, what="images")
    if order == "NCHW" and len(headers[0].shape) == 4:
        notes = (*notes, f"images are NCHW: {headers[0].name} has shape {headers[0].shape}")
    return Pixels(layout=order, dtype=dtype, notes=notes, warnings=warnings)


def possible(shape: Shape) -> tuple[Layout, ...]:
    """Return the orders of axes in which an array of this shape holds images."""
    if len(shape) == 3:
        return ("NHWC", "NCHW") if _is_image(1, *shape[1:]) else ()
    if len(shape) != 4:
        return ()
    _, a, b, c = shape
    last = ("NHWC",) if _is_image(c, a, b) else ()
    first = ("NCHW",) if _is_image(a, b, c) else ()
    return (*last, *first)


def _is_image(channels: int, height: int, width: int) -> bool:
    least, most = SIDES
    return 1 <= channels <= MAX_CHANNELS and least <= height <= most and least <= width <= most


def _layout(headers: list[npz.ArrayHeader], asked: Layout | None) -> tuple[Layout, tuple[str, ...]]:
    rests = {header.shape[1:] for header in headers}
    if len(rests) > 1:
        raise InvalidData(
            f"all splits must share one image shape, got {some(sorted(map(str, rests)))}"
        )
    first = headers[0]
    orders = possible(first.shape)
    if not orders or (asked is not None and asked not in orders):
        raise InvalidData(_no_image(first, asked))
    if asked is not None:
        return asked, ()
    if len(orders) == 1 or len(first.shape) == 3:
        return orders[0], ()
    return "NHWC", (
        f"{first.name} has shape {first.shape}, which may be NHWC or NCHW: it is read as NHWC; if "
        "that is wrong, send it again with layout: NCHW",
    )


def _no_image(header: npz.ArrayHeader, asked: Layout | None) -> str:
    low, high = SIDES
    said = "" if asked is None else f" as {asked}"
    way_out = (
        "; rows of pixels need a reshape, as images.reshape(-1, 28, 28)"
        if len(header.shape) == 2
        else ""
    )
    if len(header.shape) == 4 and _is_image(header.shape[2], *header.shape[:2]):
        way_out = f"; if their number comes last, numpy.moveaxis({header.name}, -1, 0)"
    return (
        f"{header.name} cannot be read as images{said}: expected shape (N, H, W), (N, H, W, C) or "
        f"(N, C, H, W) with {low} to {high} pixels high and wide and 1 to {MAX_CHANNELS} channels, "
        f"got {header.shape}{way_out}"
    )
