"""Choose the memory format of a network: channels-last, which is faster, if its code allows it.

``x.view(x.size(0), -1)`` behind a convolution runs only in ordinary memory. A network is judged by
what it does, not by how it is written, so it is run once in each of the two.

Legend: B images, C channels, H height, W width.
"""

from __future__ import annotations

import copy
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from compress.network.network import Network, OwnModule
from compress.network.running import foreign
from compress.network.signature import IMAGE_AXES
from compress.values.errors import InvalidCandidate

_BATCH = 2
_SEED = 20_260_105
_TOLERANCE = 1e-3
"""Largest difference between the answers of the two, as a share of the largest logit."""
# Each structure is probed once; the copy that a technique changes is another one.
_found: WeakKeyDictionary[nn.Module, torch.memory_format] = WeakKeyDictionary()

NOTE = (
    "memory: the network does not run in channels-last memory (a view of a convolution's output, "
    "for example), so it is trained in ordinary memory, which takes longer; reshape or flatten "
    "in place of view would do"
)


def of(network: Network) -> torch.memory_format:
    """Return channels-last unless the network fails in it or answers differently.

    Networks of families run in both. If the probe does not run at all, and for all that are not
    images, it is ordinary memory.
    """
    if len(network.input_shape) != IMAGE_AXES:
        return torch.contiguous_format
    if isinstance(network.module, OwnModule):
        return torch.channels_last
    if network.module not in _found:
        _found[network.module] = _probed(network)
    return _found[network.module]


def notes(network: Network) -> tuple[str, ...]:
    """Return a note if the network runs only in ordinary memory."""
    has_choice = len(network.input_shape) == IMAGE_AXES
    return (NOTE,) if has_choice and of(network) is not torch.channels_last else ()


def remember(module: nn.Module, memory_format: torch.memory_format) -> nn.Module:
    """Record that a module, a copy of a known one, runs in this format, and return the module."""
    _found[module] = memory_format
    return module


def put(module: nn.Module, memory_format: torch.memory_format) -> nn.Module:
    """Put the weights of the module's convolutions into this format, and return the module."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim == 4:  # ``Module.to`` takes those of five axes too, and fails
            tensor.data = tensor.data.contiguous(memory_format=memory_format)
    return module


def _probed(network: Network) -> torch.memory_format:
    generator = torch.Generator().manual_seed(_SEED)
    # From 0 to 1: in a table of tokens, which reads pixels as whole numbers, that is the first.
    x_BCHW = torch.rand(_BATCH, *network.input_shape, generator=generator)
    module = copy.deepcopy(network.module).cpu()
    last_BCHW = x_BCHW.to(memory_format=torch.channels_last)
    try:
        expected_BK = _answer(module.eval(), x_BCHW)
        put(module, torch.channels_last)
        found_BK = _answer(module, last_BCHW)
        _answer(module.train(), last_BCHW)
    except InvalidCandidate:
        return torch.contiguous_format
    close = found_BK.shape == expected_BK.shape and bool(
        (found_BK - expected_BK).abs().max() <= _TOLERANCE * expected_BK.abs().max()
    )
    return torch.channels_last if close else torch.contiguous_format


@torch.no_grad()
def _answer(module: nn.Module, x_BCHW: Tensor) -> Tensor:
    """Run the module, and restore the global generator, from which dropout draws."""
    with torch.random.fork_rng(devices=[]):
        return foreign.run(module, x_BCHW).double()
