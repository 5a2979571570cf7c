"""Capture the outputs of a network's stages with hooks while it runs.

A stage ends with the last module whose output is a map of a given height and width. In a residual
network that is the last block of every stage. The network does not have to cooperate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from compress.network.running import foreign


@dataclass(frozen=True, kw_only=True)
class Tap:
    """A place in a network: the output of run number ``call``, from 0, of the module ``name``."""

    name: str
    call: int


class Taps:
    """Keeps the feature maps at some places of a network until they are taken."""

    def __init__(self, module: nn.Module, taps: tuple[Tap, ...]) -> None:
        self._taps = taps
        self._maps: dict[Tap, Tensor] = {}
        self._handles = list(_watch(module, {tap.name for tap in taps}, self._maps))

    def take(self) -> list[Tensor]:
        """Return the maps of the latest run, in order, and forget them."""
        maps = [self._maps[tap] for tap in self._taps]
        self._maps.clear()
        return maps

    def close(self) -> None:
        """Remove the hooks from the network."""
        for handle in self._handles:
            handle.remove()


def stages(module: nn.Module, x_BCHW: Tensor) -> tuple[Tap, ...]:
    """Return where each stage ends, first to last: one per height and width above one pixel."""
    maps: dict[Tap, Tensor] = {}
    names = {name for name, _ in module.named_modules()}
    handles = list(_watch(module, names, maps))
    try:
        run(module, x_BCHW)
    finally:
        for handle in handles:
            handle.remove()
    last: dict[tuple[int, ...], Tap] = {}
    for tap, found in maps.items():
        size = tuple(found.shape[2:])
        if found.ndim == 4 and size != (1, 1):
            last.pop(size, None)
            last[size] = tap
    return tuple(last.values())


@torch.no_grad()
def run(module: nn.Module, x_BCHW: Tensor) -> None:
    """Run a network in eval mode on images, and restore its mode and statistics."""
    with _answering(module):
        foreign.run(module, x_BCHW)


@contextmanager
def _answering(module: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _watch(
    module: nn.Module, names: set[str], maps: dict[Tap, Tensor]
) -> Iterator[RemovableHandle]:
    calls: Counter[str] = Counter()

    def start_over(part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        calls.clear()
        maps.clear()

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], object], None]:
        def hook(part: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
            if isinstance(output, Tensor):
                maps[Tap(name=name, call=calls[name])] = output
                calls[name] += 1

        return hook

    yield module.register_forward_pre_hook(start_over)
    for name, part in module.named_modules():
        if name in names:
            yield part.register_forward_hook(keep(name))
