"""Count the cost of a network on its modules, as the exported file will be counted.

A BatchNorm that the exporter folds costs its layer one bias per channel and nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from compress.network import layers
from compress.network.network import Network
from compress.network.running.weight_views import is_weighted

_FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Stored weights and biases, multiply-accumulates, and bytes of floats.

    ``parameters`` are those of layers with a view, ``macs`` their multiply-accumulates for one
    image, ``bytes`` four for every number that the file holds.
    """

    parameters: int
    macs: int
    bytes: int

    def of(self, target: Literal["macs", "parameters", "bytes"]) -> int:
        """Return one of the three costs."""
        return int(getattr(self, target))


@dataclass(frozen=True, kw_only=True)
class Meter:
    """Counts networks that differ only in channels; made once, from the first of them."""

    positions: Mapping[str, int]
    folded: Mapping[str, str]
    """Name of a layer's BatchNorm, keyed by the layer's name."""

    def read(self, module: nn.Module) -> Cost:
        """Return the cost of a network from which some of the channels were removed."""
        found = {name: module.get_submodule(name) for name in self.positions}
        macs = parameters = floats = 0
        for name, part in found.items():
            assert is_weighted(part)
            macs += self.positions[name] * part.weight.numel()
            parameters += part.weight.numel()
            own = sum(tensor.numel() for tensor in part.parameters(recurse=False))
            parameters += own - part.weight.numel()
            if part.bias is None and name in self.folded:
                parameters += len(part.weight)
        counted = {*found, *self.folded.values()}
        for name, part in module.named_modules():
            if name not in counted:
                floats += sum(tensor.numel() for tensor in part.parameters(recurse=False))
                floats += sum(t.numel() for t in part.buffers(recurse=False) if t.ndim)
        return Cost(parameters=parameters, macs=macs, bytes=_FLOAT_BYTES * (parameters + floats))


def meter(network: Network) -> Meter:
    """Return a meter for this network and those cut out of it."""
    names = {part: name for name, part in network.module.named_modules()}
    return Meter(
        positions=layers.output_positions(network),
        folded={
            layer.name: names[layer.norm]
            for layer in layers.weighted(network)
            if layer.norm is not None
        },
    )
