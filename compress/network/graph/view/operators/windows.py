"""Operators on windows of a map: pools and resizing, and what all windows say of their padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.network.graph.view.operators.site import Built, Operator, Site, unsupported

_MAX_POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_AVERAGES = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
_POOLS = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
_HALF_PIXEL = ("half_pixel", "pytorch_half_pixel")


class Window:
    """Kernel, strides, dilations and padding of a node, one entry per axis of the map."""

    def __init__(self, site: Site, kernel: Sequence[int]) -> None:
        ones = (1,) * len(kernel)
        self.kernel = tuple(kernel)
        self.strides = tuple(site.attribute("strides", ones))
        self.dilations = tuple(site.attribute("dilations", ones))
        self.before, self.after = _padding(site, self)

    @property
    def is_even(self) -> bool:
        """Whether both ends of every axis are padded alike."""
        return self.before == self.after

    @property
    def pads(self) -> tuple[int, ...]:
        """The padding in the order of ``torch.nn.functional.pad``."""
        pairs = zip(reversed(self.before), reversed(self.after), strict=True)
        return tuple(amount for pair in pairs for amount in pair)


def _padding(site: Site, window: Window) -> tuple[tuple[int, ...], tuple[int, ...]]:
    axes = len(window.kernel)
    automatic = site.attribute("auto_pad", "NOTSET")
    if automatic == "NOTSET":
        pads = tuple(site.attribute("pads", (0,) * (2 * axes)))
        return pads[:axes], pads[axes:]
    if automatic == "VALID":
        return (0,) * axes, (0,) * axes
    totals = [
        max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
        for size, stride, kernel, dilation in zip(
            site.shape(0)[2:], window.strides, window.kernel, window.dilations, strict=True
        )
    ]
    less, more = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    return (less, more) if automatic == "SAME_UPPER" else (more, less)


def max_pool(site: Site) -> Built:
    """The largest value of every window."""
    if len([name for name in site.node.outputs if name]) > 1:
        raise unsupported(site.node, "also gives the places of its maxima")
    window = Window(site, site.attribute("kernel_shape", ()))
    fits = all(2 * pad <= size for pad, size in zip(window.before, window.kernel, strict=True))
    uses_own = window.is_even and fits
    pool = _MAX_POOLS[len(window.kernel)](
        window.kernel,
        window.strides,
        padding=window.before if uses_own else 0,
        dilation=window.dilations,
        ceil_mode=bool(site.attribute("ceil_mode", 0)),
    )
    if uses_own:
        return Built(pool, reads=(0,))
    pads = window.pads
    lowest = float("-inf")
    padded = Operator(lambda x: pool(functional.pad(x, pads, value=lowest)))
    return Built(padded, reads=(0,))


def average_pool(site: Site) -> Built:
    """The mean of every window, over the values in it or over all of its places."""
    window = Window(site, site.attribute("kernel_shape", ()))
    if set(window.dilations) != {1}:
        raise unsupported(site.node, f"averages with dilations of {window.dilations}")
    counts = bool(site.attribute("count_include_pad", 0))
    rounds_up = bool(site.attribute("ceil_mode", 0))
    fits = all(2 * pad <= size for pad, size in zip(window.before, window.kernel, strict=True))
    if window.is_even and fits:
        average = _AVERAGES[len(window.kernel)](
            window.kernel,
            window.strides,
            padding=window.before,
            ceil_mode=rounds_up,
            count_include_pad=counts,
        )
        return Built(average, reads=(0,))
    if rounds_up:
        raise unsupported(site.node, "rounds sizes up behind uneven padding")
    return Built(Operator(_uneven_average(window, counts=counts)), reads=(0,))


def _uneven_average(window: Window, *, counts: bool) -> Callable[[Tensor], Tensor]:
    pool, pads = _POOLS[len(window.kernel)], window.pads

    def average(x: Tensor) -> Tensor:
        mean = pool(functional.pad(x, pads), window.kernel, window.strides)
        if counts:
            return mean
        ones = functional.pad(torch.ones_like(x[:1, :1]), pads)
        return mean / pool(ones, window.kernel, window.strides)

    return average


def resize(site: Site) -> Built:
    """A map of another height and width. Raises InvalidNetwork for forms that torch has not."""
    mode = site.attribute("mode", "nearest")
    where = site.attribute("coordinate_transformation_mode", "half_pixel")
    axes = site.rank() - 2
    _check_resize(site, axes)
    options = _options(site, mode, where, axes)
    scales, sizes = site.static(2), site.integers(3)
    if sizes is not None:
        target = sizes[-axes:]
        return _resized(lambda x: functional.interpolate(x, size=target, **options))
    if scales is None or scales.size == 0:
        raise unsupported(site.node, "says neither scales nor sizes")
    factors = tuple(float(factor) for factor in scales.reshape(-1)[-axes:])
    return _resized(
        lambda x: functional.interpolate(
            x, scale_factor=factors, recompute_scale_factor=False, **options
        )
    )


def _resized(function: Callable[[Tensor], Tensor]) -> Built:
    return Built(Operator(function), reads=(0,))


def _check_resize(site: Site, axes: int) -> None:
    named = site.node.attributes.get("axes")
    if named is not None and tuple(named) != tuple(range(2, 2 + axes)):  # pyright: ignore[reportArgumentType]
        raise unsupported(site.node, f"resizes the axes {named}, not height and width")
    if site.attribute("antialias", 0) or site.attribute("exclude_outside", 0):
        raise unsupported(site.node, "smooths or leaves out what lies outside")
    if site.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise unsupported(site.node, "keeps the aspect ratio")
    scales = site.static(2)
    if scales is not None and scales.size == axes + 2 and (scales.reshape(-1)[:2] != 1).any():
        raise unsupported(site.node, "resizes batch or channels")


def _options(site: Site, mode: str, where: str, axes: int) -> Mapping[str, Any]:
    if mode == "nearest":
        rounding = site.attribute("nearest_mode", "round_prefer_floor")
        if where == "asymmetric" and rounding == "floor":
            return {"mode": "nearest"}
        if where in _HALF_PIXEL and rounding == "round_prefer_ceil":
            return {"mode": "nearest-exact"}
        # Of whole multiples no place lies half way between two.
        if _is_whole(site, axes) and where in (*_HALF_PIXEL, "asymmetric") and rounding != "ceil":
            return {"mode": "nearest"}
        raise unsupported(site.node, f"is nearest with {where} and {rounding}")
    names = _LINEAR if mode == "linear" else {2: "bicubic"}
    if axes not in names or (where not in _HALF_PIXEL and where != "align_corners"):
        raise unsupported(site.node, f"is {mode} with {where}")
    if mode == "cubic" and abs(site.attribute("cubic_coeff_a", -0.75) + 0.75) > 1e-6:
        raise unsupported(site.node, "is cubic with another coefficient than -0.75")
    return {"mode": names[axes], "align_corners": where == "align_corners"}


def _is_whole(site: Site, axes: int) -> bool:
    """Whether every size becomes a multiple of itself."""
    before, after = site.shape(0)[-axes:], site.shapes.get(site.node.output, ())[-axes:]
    return len(after) == axes and all(b % a == 0 for a, b in zip(before, after, strict=True))
