"""Where a network handles channels by their position, a trace meets a layer that mixes them all.

A channel shuffle deals channels out in turns, and a split gives every branch its share: with one
channel gone, each behind it would be another. torch-pruning can follow neither. So a network is
traced with a 1x1 convolution from all channels to all in their place. What comes before and what
comes behind are then different groups, and a group that meets a barrier keeps its channels.

Legend: B images, C channels, H height, W width, G groups of a shuffle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from compress.network.running import foreign

SHUFFLED = "a channel shuffle mixes them"
SPLIT = "they are split between branches"
_SHUFFLES = frozenset({"channel_shuffle", "native_channel_shuffle"})
_SPLITS = frozenset({"chunk", "split", "split_with_sizes", "tensor_split"})
_VIEWS = frozenset({"reshape", "view", "flatten", "unflatten"})
_RUN_THEIR_PARTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_RENUMBERS = frozenset(
    {"index_select", "pad", "pixel_shuffle", "pixel_unshuffle", "repeat", "roll"}
)
_MOVES = frozenset({"transpose", "swapaxes", "swapdims", "permute", "contiguous", "clone"})


class Barrier(nn.Conv2d):
    """All channels to all channels; ``reason`` says why those of a group that meets it stay."""

    def __init__(self, channels: int, outputs: int, *, reason: str) -> None:
        super().__init__(channels, outputs, 1, bias=False)
        self.reason = reason


Place = Callable[[int, int, str], Barrier]
"""Gives the next barrier: its input channels, its output channels, its reason."""


def raise_(module: nn.Module, example: Tensor) -> Sequence[Barrier]:
    """Give the module, in place, the barriers that a run on ``example`` meets, in order."""
    found: list[Barrier] = []

    def place(channels: int, outputs: int, reason: str) -> Barrier:
        found.append(Barrier(channels, outputs, reason=reason).to(example))
        return found[-1]

    with torch.no_grad(), torch.random.fork_rng(devices=[]), _Watch(place):
        foreign.run(module, example)
    if found:
        _hold(module, found)
    return found


def _hold(module: nn.Module, found: Sequence[Barrier]) -> None:
    """Make the barriers parts of the module, where none of its runs would run them too."""
    holder = next(part for part in module.modules() if not isinstance(part, _RUN_THEIR_PARTS))
    name = "barriers"
    while hasattr(holder, name):
        name += "_"
    holder.add_module(name, nn.ModuleList(found))


@contextmanager
def behind(barriers: Sequence[Barrier]) -> Iterator[None]:
    """Runs in this context meet these barriers."""
    following = iter(barriers)
    with _Watch(lambda channels, outputs, reason: next(following)):
        yield


class _Watch(TorchFunctionMode):
    """Sees every operation on tensors, and answers shuffles and splits of maps with barriers."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        # Maps whose channels are being dealt out, with what they were; kept, for ids come back.
        self._dealing: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The operation's result, or a barrier's."""
        result = func(*args, **(kwargs or {}))
        given = args[0] if args else None
        if not isinstance(given, Tensor):
            return result
        name = getattr(func, "__name__", "")
        if name in _SPLITS and _divides_channels(given, result):
            return tuple(self._barrier(given, part, SPLIT) for part in result)
        if name in _SHUFFLES or (name in _RENUMBERS and _renumbers(name, args, result)):
            return self._barrier(given, result, SHUFFLED)
        return self._dealt(name, given, result) if isinstance(result, Tensor) else result

    def _dealt(self, name: str, given: Tensor, result: Tensor) -> Tensor:
        """Follows ``reshape, transpose, reshape``, as which shuffles are written."""
        if name in _VIEWS and _divides_into_groups(given, result):
            self._dealing[id(result)] = (result, given)
        elif id(given) in self._dealing and name in _VIEWS | _MOVES:
            before = self._dealing[id(given)][1]
            if result.shape == before.shape:
                return self._barrier(before, result, SHUFFLED)
            self._dealing[id(result)] = (result, before)
        return result

    def _barrier(self, before: Tensor, after: Tensor, reason: str) -> Tensor:
        return self._place(before.shape[1], after.shape[1], reason)(before)


def _divides_channels(x: Tensor, parts: Sequence[Tensor]) -> bool:
    """Whether maps ``(B, C, H, W)`` were cut along their channels into several."""
    return x.ndim == 4 and len(parts) > 1 and any(part.shape[1] != x.shape[1] for part in parts)


def _renumbers(name: str, args: tuple[Any, ...], result: Tensor) -> bool:
    """Whether maps ``(B, C, H, W)`` get other channels, or have theirs in other places."""
    x = args[0]
    if (x.ndim, result.ndim) != (4, 4) or x.shape[2:] != result.shape[2:]:
        return False
    picks = name == "index_select" and len(args) > 1 and args[1] == 1
    return picks or result.shape[1] != x.shape[1]


def _divides_into_groups(x: Tensor, result: Tensor) -> bool:
    """Whether ``(B, C, H, W)`` has become ``(B, G, C / G, H, W)``."""
    if (x.ndim, result.ndim) != (4, 5) or x.shape[2:] != result.shape[3:]:
        return False
    return x.shape[1] == result.shape[1] * result.shape[2]
