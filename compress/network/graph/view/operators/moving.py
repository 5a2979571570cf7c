"""Operators that move values about: reshape, slice, gather, pad, join and split.

Sizes that a file writes as numbers are made relative where they can be (``relative``), so that a
network whose channels have left still runs.

Legend: s sizes before, t the target, r sizes after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from compress.network.graph.view.operators.site import Computed, Site, unsupported

_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def relative(target: Sequence[int], before: Sequence[int], after: Sequence[int]) -> tuple[int, ...]:
    """The target of a Reshape with 0 wherever a size stays, and -1 for one of the others if any.

    ``[-1, 256]`` on ``(N, 256, 1, 1)`` becomes ``[0, -1]``: the same for these sizes, and right for
    fewer channels too.
    """
    found = list(target)
    for axis, size in enumerate(found):
        stays = axis < len(before) and before[axis] == after[axis]
        if stays and (size > 0 or (size == -1 and axis == 0)):
            found[axis] = 0
    if -1 not in found and (literal := [axis for axis, size in enumerate(found) if size > 0]):
        found[literal[-1]] = -1
    return tuple(found)


def reshape_target(site: Site) -> tuple[int, ...]:
    """The relative target of a Reshape whose target is a constant."""
    target = site.integers(1) or ()
    if site.attribute("allowzero", 0) and 0 in target:
        raise unsupported(site.node, "reshapes to a size of zero")
    return relative(target, site.shape(0), site.shapes.get(site.node.output, ()))


def reshaping(target: tuple[int, ...], *, rank: int) -> Callable[..., Tensor]:
    """The function that reshapes ``rank`` axes to a target with zeros for sizes that stay."""
    if target == (0, -1):
        return (lambda x: x.flatten(1)) if rank > 1 else (lambda x: x.unsqueeze(1))
    return lambda x: x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(target)])


def reshape_to_computed(x: Tensor, target: Tensor) -> Tensor:
    return reshaping(tuple(int(entry) for entry in target.tolist()), rank=x.ndim)(x)


def _flatten(site: Site) -> Callable[..., Tensor]:
    rank = site.rank()
    axis = site.attribute("axis", 1)
    axis = axis + rank if axis < 0 else axis
    if axis == 1 and rank > 1:
        return lambda x: x.flatten(1)
    if axis == rank or rank == 0:
        return lambda x: x.reshape(-1, 1)
    return lambda x: x.reshape(x.shape[:axis].numel(), -1)


def _transpose(site: Site) -> Callable[..., Tensor]:
    named = site.attribute("perm", ())
    perm = tuple(named) or tuple(reversed(range(site.rank())))
    return lambda x: x.permute(perm)


def _squeeze(site: Site) -> Callable[..., Tensor]:
    axes = site.integers(1, "axes")
    if axes is None:
        axes = tuple(axis for axis, size in enumerate(site.shape(0)) if size == 1)
    return lambda x: torch.squeeze(x, axes)


def _unsqueeze(site: Site) -> Callable[..., Tensor]:
    axes = site.integers(1, "axes") or ()
    rank = site.rank() + len(axes)
    in_order = sorted(axis % rank for axis in axes)

    def unsqueeze(x: Tensor) -> Tensor:
        for axis in in_order:
            x = x.unsqueeze(axis)
        return x

    return unsqueeze


def _concat(site: Site) -> Callable[..., Tensor]:
    axis = site.axis(0)
    return lambda *parts: torch.cat(parts, axis)


def _split(site: Site) -> Callable[..., Computed]:
    axis, sizes = site.axis(0), site.integers(1, "split")
    if sizes is None:
        count = site.attribute("num_outputs", len(site.node.outputs))
        each = -(-site.shape(0)[axis] // count)
        return lambda x: x.split(each, axis)
    return lambda x: x.split(sizes, axis)


def _slice(site: Site) -> Callable[..., Tensor]:
    starts, ends = site.integers(1, "starts") or (), site.integers(2, "ends") or ()
    axes = site.integers(3, "axes") or tuple(range(len(starts)))
    steps = site.integers(4) or (1,) * len(starts)
    before = site.shape(0)
    cuts = [
        _cut(axis % len(before), before[axis], start, end, step)
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True)
    ]

    def cut(x: Tensor) -> Tensor:
        for each in cuts:
            x = each(x)
        return x

    return cut


def slices_by_sizes(site: Site) -> bool:
    """Whether bounds of a Slice are computed, as the length of a sequence is."""
    return any(site.has(place) and site.constant(place) is None for place in range(1, 5))


def slice_by_sizes(site: Site) -> Callable[..., Tensor]:
    """A slice whose bounds come with every run."""
    words = ("starts", "ends", "axes", "steps")
    given = [word for place, word in enumerate(words, start=1) if site.has(place)]

    def cut(x: Tensor, *bounds: Tensor) -> Tensor:
        said = {w: each.reshape(-1).tolist() for w, each in zip(given, bounds, strict=True)}
        starts, ends = said["starts"], said["ends"]
        axes = said.get("axes", range(len(starts)))
        steps = said.get("steps", [1] * len(starts))
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            x = _cut(axis % x.ndim, x.shape[axis], start, end, step)(x)
        return x

    return cut


def _cut(axis: int, size: int, start: int, end: int, step: int) -> Callable[[Tensor], Tensor]:
    """One axis of a slice: backwards by picking, channels by a split, else as torch slices."""
    taken = range(size)[slice(start, max(end, -size - 1) if end < 0 else end, step)]
    if step < 0 and end < -size:
        taken = range(size)[start::step]
    if step < 0:
        indices = torch.tensor(list(taken))
        return lambda x: x.index_select(axis, indices.to(x.device))
    if axis == 1 and step == 1 and 0 < len(taken) < size:
        # Whoever follows channels through the network knows a split.
        sizes = [part for part in (taken.start, len(taken), size - taken.stop) if part]
        place = 1 if taken.start else 0
        return lambda x: x.split(sizes, 1)[place]
    index = (slice(None),) * axis + (slice(start, end, step),)
    return lambda x: x[index]


def _gather(site: Site) -> Callable[..., Tensor]:
    axis, size = site.axis(0), None
    indices = site.constant(1)
    if indices is None:
        return lambda x, picked: _picked(x, axis, picked)
    size = site.shape(0)[axis]
    fixed = torch.from_numpy(indices.astype("int64")) % max(1, size)
    if fixed.ndim == 0:
        return lambda x, _: x.select(axis, int(fixed))
    return lambda x, _: _picked(x, axis, fixed.to(x.device))


def _picked(x: Tensor, axis: int, indices: Tensor) -> Tensor:
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    found = x.index_select(axis, indices.reshape(-1))
    return found.unflatten(axis, indices.shape) if indices.ndim != 1 else found


def _gather_elements(site: Site) -> Callable[..., Tensor]:
    axis = site.axis(0)

    def gather(x: Tensor, indices: Tensor) -> Tensor:
        return torch.gather(x, axis, torch.where(indices < 0, indices + x.shape[axis], indices))

    return gather


def _expand(site: Site) -> Callable[..., Tensor]:
    if site.constant(1) is None:
        return lambda x, target: _expanded(x, tuple(int(entry) for entry in target.tolist()))
    target = site.integers(1) or ()
    return lambda x, _: _expanded(x, target)


def _expanded(x: Tensor, target: tuple[int, ...]) -> Tensor:
    """Broadcast both ways: a target of 1 leaves a size as it is."""
    return x.expand(torch.broadcast_shapes(tuple(x.shape), target))


def _tile(site: Site) -> Callable[..., Tensor]:
    repeats = site.integers(1) or ()
    return lambda x: x.repeat(repeats)


def _pad(site: Site) -> Callable[..., Tensor]:
    mode = site.attribute("mode", "constant")
    if mode not in _PAD_MODES:
        raise unsupported(site.node, f"pads in the mode {mode!r}")
    value = site.static(2)
    fill = 0.0 if value is None or value.size == 0 else float(value.reshape(-1)[0])
    amounts = _amounts(site)
    if not any(amounts):
        return lambda x: x
    if mode != "constant":
        return lambda x: functional.pad(x, amounts, mode=_PAD_MODES[mode])
    return lambda x: functional.pad(x, amounts, value=fill)


def _amounts(site: Site) -> tuple[int, ...]:
    """As torch wants them: from the last axis, before and after, as far as one is padded."""
    rank, pads = site.rank(), site.integers(1, "pads") or ()
    axes = site.integers(3) or tuple(range(rank))
    front = dict(zip((axis % rank for axis in axes), pads, strict=False))
    back = dict(zip((axis % rank for axis in axes), pads[len(axes) :], strict=False))
    found: list[int] = []
    for axis in reversed(range(rank)):
        found += [front.get(axis, 0), back.get(axis, 0)]
    while len(found) > 2 and not any(found[-2:]):
        del found[-2:]
    return tuple(found)


def _depth_to_space(site: Site) -> Callable[..., Tensor]:
    size, mode = site.attribute("blocksize", 1), site.attribute("mode", "DCR")

    def shuffle(x: Tensor) -> Tensor:
        if mode == "CRD":
            return functional.pixel_shuffle(x, size)
        batch, channels, height, width = x.shape
        less = channels // size**2
        x = x.reshape(batch, size, size, less, height, width).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(batch, less, height * size, width * size)

    return shuffle


def _space_to_depth(site: Site) -> Callable[..., Tensor]:
    size = site.attribute("blocksize", 1)

    def unshuffle(x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        x = x.reshape(batch, channels, height // size, size, width // size, size)
        x = x.permute(0, 3, 5, 1, 2, 4)
        return x.reshape(batch, channels * size**2, height // size, width // size)

    return unshuffle


def _shape(site: Site) -> Callable[..., Tensor]:
    start, end = site.attribute("start", 0), site.node.attributes.get("end")
    stop = end if isinstance(end, int) else None
    return lambda x: torch.tensor(tuple(x.shape)[start:stop], device=x.device)


def _constant_of_shape(site: Site) -> Callable[..., Tensor]:
    value = site.node.attributes.get("value", np.zeros(1, np.float32))
    filled = torch.from_numpy(np.array(value).reshape(-1)[:1].copy())
    return lambda sizes: filled.to(sizes.device).expand(tuple(sizes.tolist())).clone()


def _range(site: Site) -> Callable[..., Tensor]:
    """Numbers from the first to below the last, such as the places of a sequence."""

    def count(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
        ends = (start.item(), limit.item(), delta.item())
        return torch.arange(*ends, dtype=limit.dtype, device=limit.device)

    return count


def _trilu(site: Site) -> Callable[..., Tensor]:
    diagonal = (site.integers(1) or (0,))[0]
    kept = torch.triu if site.attribute("upper", 1) else torch.tril
    return lambda x: kept(x, diagonal)


OF_ALL: Mapping[str, Callable[[Site], Callable[..., Computed]]] = {
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Range": _range,
}
"""Functions of every given input."""

OF_FIRST: Mapping[str, Callable[[Site], Callable[..., Computed]]] = {
    "DepthToSpace": _depth_to_space,
    "Flatten": _flatten,
    "Pad": _pad,
    "Shape": _shape,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
}
"""Functions of the first input alone: the others are static."""
