"""Allocate bits to layers: as named, 8 at the edges, and the rest equal or where they help most.

How much a layer suffers from ``b`` bits is estimated to second order, as in HAWQ-V2 (Dong et al.,
arXiv:1911.03852, equation 10), with the Hessian of the squared error of the logits in its
Gauss-Newton form, factorised as in K-FAC (Martens and Grosse, arXiv:1503.05671) with a diagonal
output factor:

    damage(b) = sum_o  g_o  d_o M d_o^T,    d = w - s q

``M = E[x x^T]`` are the second moments of the layer's inputs, ``g_o`` is the squared gradient of
the logits (in a random direction, so that one backward pass is enough) summed over positions. Bits
then go to the layer where they remove most damage per bit, until the budget is spent.

Legend: O output channels, K weights of one of them, S groups of a convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from compress.network import layers
from compress.network.graph.view.operators.embedding import EmbeddingTable
from compress.network.layers import WeightedLayer
from compress.network.running import foreign
from compress.techniques.quantization import rounding
from compress.techniques.quantization.config import HALF_BITS, Quantization
from compress.values import patterns
from compress.values.errors import InvalidCandidate

WIDTHS = range(1, 9)
_EDGE_BITS = 8
_TABLES = (nn.Embedding, EmbeddingTable)
_NO_GRADIENTS = "set allocation to uniform"


def fixed(found: Sequence[WeightedLayer], config: Quantization) -> dict[str, int]:
    """Return the bits of the layers, first to last, that are not left to the allocation.

    Raises InvalidCandidate if a pattern of ``layer_bits`` matches no layer.
    """
    names = [layer.name for layer in found]
    bits: dict[str, int] = {}
    if config.edges_8bit and config.weight_bits != HALF_BITS:
        # A table is no edge: it multiplies nothing, and is most of the file.
        products = [layer.name for layer in found if not isinstance(layer.module, _TABLES)]
        bits |= dict.fromkeys((*products[:1], *products[-1:]), _EDGE_BITS)
    for pattern, width in config.bits_of_patterns:
        matched = patterns.matching(pattern, names, technique="quantization")
        bits |= dict.fromkeys(matched, width)
    return bits


def spend(
    damage: Mapping[str, Mapping[int, float]], sizes: Mapping[str, int], *, budget_bits: float
) -> dict[str, int]:
    """Return bits per layer with little total damage, with ``sum size * bits <= budget_bits``.

    ``damage[layer][bits]`` covers 1 to 8 bits; ``sizes`` counts weights. The algorithm is greedy:
    the step up, by one bit or several, that removes most damage per bit of the file comes first.
    Raises InvalidCandidate if the budget is below 1 bit per weight.
    """
    chosen = dict.fromkeys(damage, WIDTHS[0])
    left = budget_bits - sum(sizes[name] for name in damage)
    if left < 0:
        raise InvalidCandidate(f"quantization: {budget_bits:g} bits are below 1 bit per weight")
    while True:
        steps = [
            ((damage[name][now] - damage[name][more]) / (sizes[name] * (more - now)), name, more)
            for name, now in chosen.items()
            for more in range(now + 1, WIDTHS[-1] + 1)
            if sizes[name] * (more - now) <= left
        ]
        gain, name, more = max(steps, default=(0.0, "", 0), key=lambda step: step[0])
        if gain <= 0:
            return chosen
        left -= sizes[name] * (more - chosen[name])
        chosen[name] = more


def damages(
    layer: WeightedLayer, *, rounded: Callable[[int], Tensor], moment_SKK: Tensor, pull_O: Tensor
) -> dict[int, float]:
    """Return the damage of every width; ``rounded(bits)`` is the weight on a grid of that width."""
    weight = layer.module.weight.detach()
    return {
        bits: _damage(layer.view.matrix(weight - rounded(bits)), moment_SKK, pull_O)
        for bits in WIDTHS
    }


def _damage(error_OI: Tensor, moment_SKK: Tensor, pull_O: Tensor) -> float:
    error_SOK = error_OI.unflatten(0, (len(moment_SKK), -1))
    pairs = zip(error_SOK, moment_SKK, strict=True)
    output_O = torch.cat([rounding.output_error(rows, moment) for rows, moment in pairs])
    return float((output_O * pull_O).sum())


def output_pulls(
    module: nn.Module,
    found: Sequence[WeightedLayer],
    x_BCHW: Tensor,
    *,
    moments: Mapping[str, Tensor],
    seed: int,
) -> dict[str, Tensor]:
    """Return the logits' mean squared gradient ``(O,)`` at each layer's product with its weight.

    The mean is over images. The logits are weighted with random signs; the expectation is the sum
    over all of them. Where the product is not the output, ``g_o`` follows from the gradient of the
    weight, ``E[(g_o x_k)^2] = g_o M_kk`` in the terms of the module's text, summed over ``k``.
    """
    outputs: dict[str, Tensor] = {}
    affine = [each for each in found if each.view.is_affine]
    others = [each for each in found if not each.view.is_affine]

    def keep(name: str, part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[name] = output

    handles = [each.module.register_forward_hook(partial(keep, each.name)) for each in affine]
    try:
        with torch.enable_grad():
            logits_BK = foreign.run(module, x_BCHW.detach().requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    generator = torch.Generator().manual_seed(seed)
    signs_BK = torch.randint(0, 2, logits_BK.shape, generator=generator) * 2.0 - 1
    signs_BK = signs_BK.to(logits_BK.device)
    with foreign.blamed("allocation needs the gradients of the network", way_out=_NO_GRADIENTS):
        tensors = [*outputs.values(), *(layers.latent(each.module) for each in others)]
        gradients = torch.autograd.grad(logits_BK, tensors, signs_BK, materialize_grads=True)
    pulls = dict(zip([*outputs, *(each.name for each in others)], gradients, strict=True))
    return {
        each.name: _per_channel(pulls[each.name], axis=each.view.channel_axis)
        if each.view.is_affine
        else _per_row(pulls[each.name], moments[each.name], images=len(x_BCHW))
        for each in found
    }


def _per_row(gradient_OK: Tensor, moment: Tensor, *, images: int) -> Tensor:
    """Return the squared gradients at a product, from those of its weight."""
    inputs_SK = moment if moment.ndim == 2 else moment.diagonal(dim1=1, dim2=2)
    squares_SO = gradient_OK.square().sum(dim=1).unflatten(0, (len(moment), -1)) / images
    least = torch.finfo(torch.float32).tiny
    return (squares_SO / inputs_SK.sum(dim=1, keepdim=True).clamp_min(least)).flatten()


def _per_channel(gradient: Tensor, *, axis: int) -> Tensor:
    squares = gradient.square().movedim(axis, 1)
    return squares.reshape(*squares.shape[:2], -1).sum(dim=2).mean(dim=0)
