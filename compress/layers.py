"""The weighted layers of a network, by name and in the order in which it runs them.

Every technique that touches weights one layer at a time starts here: pruning patterns, masks,
grids, codebooks, factorised layers, and the file's writer, which meets the same layers in the same
order in the exported graph.

Legend: O output channels, I everything else of a weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compress import patterns
from compress.errors import InvalidCandidate
from compress.model import Network

Weighted = nn.Conv1d | nn.Conv2d | nn.Linear
Norm = nn.BatchNorm1d | nn.BatchNorm2d


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution or linear layer. ``norm`` is the BatchNorm that reads nothing but it."""

    name: str
    module: Weighted
    norm: Norm | None

    @property
    def is_trained(self) -> bool:
        """Whether its weight may change: a pad shortcut's may not."""
        return latent(self.module).requires_grad

    @property
    def num_weights(self) -> int:
        """Weights it holds, biases aside."""
        return latent(self.module).numel()


def latent(module: nn.Module) -> Tensor:
    """The trained tensor behind ``module.weight``: the weight itself where nothing bends it."""
    if hasattr(module, "parametrizations"):
        return module.get_parameter("parametrizations.weight.original")
    return module.get_parameter("weight")


def weighted(network: Network) -> tuple[Layer, ...]:
    """Every convolution and linear layer that the network runs, first to last.

    Raises InvalidCandidate when the network does not run on its own input shape, or runs a layer
    twice: a weight in two places cannot be changed in one of them.
    """
    names = {part: name for name, part in network.module.named_modules()}
    order: list[Weighted] = []
    norms: dict[nn.Module, Norm] = {}
    with _watched(network.module, order, norms):
        _run(network)
    twice = sorted({names[part] for part in order if order.count(part) > 1})
    if twice:
        raise InvalidCandidate(f"the network runs {twice} more than once: it cannot be compressed")
    return tuple(Layer(name=names[p], module=p, norm=norms.get(p)) for p in order)


def trained(network: Network, *, exclude: str = "", technique: str) -> tuple[Layer, ...]:
    """The layers whose weights may change, but for those that a pattern of ``exclude`` names.

    Raises InvalidCandidate, in the name of ``technique``, when a pattern matches no layer or there
    is none.
    """
    found = [layer for layer in weighted(network) if layer.is_trained]
    if not found:
        raise InvalidCandidate(f"{technique} found no convolution and no linear layer to work on")
    left_out = set(patterns.matching(exclude, [layer.name for layer in found], technique=technique))
    return tuple(layer for layer in found if layer.name not in left_out)


def norm_factor(layer: Layer) -> Tensor:
    """What the BatchNorm behind a layer multiplies its output channels by, float64 ``(O,)``.

    ``gamma / sqrt(variance + epsilon)``: the factor by which an exporter scales the weights when
    it folds the two into one. Ones where there is none.
    """
    norm = layer.norm
    if norm is None or norm.running_var is None:
        return torch.ones(len(latent(layer.module)), dtype=torch.float64)
    factor_O = torch.rsqrt(norm.running_var.double() + norm.eps)
    return factor_O if norm.weight is None else factor_O * norm.weight.detach().double()


def by_name(found: Sequence[Layer]) -> Mapping[str, Layer]:
    """The layers by their names."""
    return {layer.name: layer for layer in found}


@contextmanager
def _watched(
    module: nn.Module, order: list[Weighted], norms: dict[nn.Module, Norm]
) -> Iterator[None]:
    outputs: dict[int, tuple[Weighted, Tensor]] = {}

    def weighted_ran(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(part, Weighted)
        order.append(part)
        # The tensor is kept too: a freed one's id may come back.
        outputs[id(output)] = (part, output)

    def norm_runs(part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(part, Norm)
        if id(inputs[0]) in outputs:
            norms[outputs[id(inputs[0])][0]] = part

    handles = [
        part.register_forward_hook(weighted_ran)
        for part in module.modules()
        if isinstance(part, Weighted)
    ]
    handles += [
        part.register_forward_pre_hook(norm_runs)
        for part in module.modules()
        if isinstance(part, Norm)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _run(network: Network) -> None:
    was_training = network.module.training
    network.module.eval()
    first = next(network.module.parameters(), torch.zeros(0))
    try:
        network.module(torch.zeros(1, *network.input_shape, device=first.device))
    except (RuntimeError, ValueError) as error:
        raise InvalidCandidate(
            f"the network does not run on an input of shape {network.input_shape}: {error}"
        ) from error
    finally:
        network.module.train(was_training)
