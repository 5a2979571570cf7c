"""Replace layers by sequences of thinner ones."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn

from compress.network import layers
from compress.network.graph.view.operators.embedding import EmbeddingTable
from compress.network.layers import WeightedLayer
from compress.network.network import Network
from compress.network.running import coverage
from compress.network.running.coverage import Reach
from compress.network.running.weight_views import Weighted
from compress.tasks.names import TEXT_TASKS
from compress.techniques.compressed import CompressedModel
from compress.techniques.low_rank import factorisation, moments, thinner
from compress.techniques.low_rank.config import LowRank
from compress.techniques.low_rank.factorisation import Factors, RankTarget
from compress.techniques.low_rank.moments import Moments
from compress.training import constraints
from compress.training.context import TrialContext
from compress.values.errors import InvalidCandidate, NumericalError

_NAME = "low_rank"
_WHOLE = "only linear layers, tables and ungrouped convolutions of two axes have factors, not"


def apply(compressed: CompressedModel, config: LowRank, context: TrialContext) -> CompressedModel:
    """Return a copy with factorised layers, and notes about those that stay whole.

    A layer stays whole if its factors would hold no fewer weights or need more multiplications. A
    table multiplies nothing, and its factors may.
    Raises InvalidCandidate for a layer whose weight is already constrained, NumericalError for
    weights that are not finite, and InvalidData if ``activation`` has no images to measure.
    """
    if not config.has_effect:
        return _noted(compressed, ["energy and size_ratio are 1, every layer stays whole"])
    network = replace(compressed.network, module=deepcopy(compressed.network.module))
    found = layers.trained(network, exclude=config.exclude, technique=_NAME)
    possible = tuple(layer for layer in found if _is_possible(layer))
    odd = [layer.name for layer in found if layer not in possible]
    notes = [f"{_WHOLE}: {', '.join(odd)}"] if odd else []
    whole, network = _replaced(network, possible, config, context)
    if whole:
        notes.append(f"factors would not be smaller, these stay whole: {', '.join(whole)}")
    notes += _not_covered(compressed.network, found, stay={*odd, *whole})
    if len(whole) == len(possible):
        return _noted(compressed, [*notes, "no layer was factorised"])
    return _noted(compressed.after(config, network=network), notes)


def _not_covered(
    network: Network, found: tuple[WeightedLayer, ...], *, stay: set[str]
) -> list[str]:
    """Note the weights in layers other than these."""
    named = {layer.name for layer in found}
    every = {layer.name for layer in layers.trained(network, technique=_NAME)}
    reach = Reach(what="factors", reached=named - stay, excluded=every - named, described=named)
    return coverage.notes(network.module, reach)


def _replaced(
    network: Network, possible: tuple[WeightedLayer, ...], config: LowRank, context: TrialContext
) -> tuple[list[str], Network]:
    """Return the names of the layers that stay whole, and the network with the others replaced."""
    if not possible:
        return [], network
    seen = moments.measure(
        network,
        possible,
        context.data.train,
        num_images=config.calibration_images if config.weighting == "activation" else 0,
        device=context.device,
        pads=context.task.name in TEXT_TASKS,
    )
    whole: list[str] = []
    for layer in possible:
        part = _factorised(layer, seen[layer.name], config)
        if part is None:
            whole.append(layer.name)
        elif layer.name:
            network.module.set_submodule(layer.name, part)
        else:
            network = replace(network, module=part)
    return whole, network


def _is_possible(layer: WeightedLayer) -> bool:
    if constraints.on(layer.module):
        raise InvalidCandidate(f"{_NAME}: {layer.name} is constrained already, factorise it first")
    if not bool(torch.isfinite(layers.latent(layer.module)).all()):
        raise NumericalError(f"{_NAME}: the weight of {layer.name} holds a NaN or an infinity")
    module = layer.module
    is_matrix = isinstance(module, nn.Linear | EmbeddingTable)
    return is_matrix or (isinstance(module, nn.Conv2d) and module.groups == 1)


def _factorised(layer: WeightedLayer, seen: Moments, config: LowRank) -> nn.Module | None:
    """Return the best factors that save weights and cost no multiplications; None without any."""
    module = layer.module
    most_macs = _most_macs(module, seen)
    best: tuple[float, nn.Module] | None = None
    for factors in _candidates(layer, seen, config):
        row = thinner.build(module, factors, bias=_bias(layer, factors, seen))
        fits = factors.num_weights < layer.num_weights
        if not fits or _multiplies_more(row, seen, most_macs):
            continue
        rank = factors.num_weights if config.size_ratio == 1 else factors.lost
        if best is None or rank < best[0]:
            best = rank, row
    return None if best is None else best[1]


def _most_macs(module: Weighted, seen: Moments) -> int | None:
    """Return the multiplications of a layer; None for a table, whose rows are looked up."""
    is_table = isinstance(module, EmbeddingTable)
    return None if is_table else thinner.macs([module], seen.input_shape)


def _multiplies_more(row: nn.Sequential, seen: Moments, most: int | None) -> bool:
    return most is not None and thinner.macs(list(row.children()), seen.input_shape) > most


def _candidates(layer: WeightedLayer, seen: Moments, config: LowRank) -> Iterator[Factors]:
    weight = layers.latent(layer.module).detach().double()
    most = int(config.size_ratio * weight.numel()) if config.size_ratio < 1 else None
    wanted = RankTarget(energy=config.energy, most_weights=most)
    has_kernel = weight.ndim == 4 and weight[0, 0].numel() > 1
    if not has_kernel or config.method in ("auto", "channel"):
        centred = _absorbs_means(layer)
        answers_OO = seen.covariance(centred=centred)
        yield factorisation.channel(weight, wanted, answers_OO=answers_OO)
    if has_kernel and config.method in ("auto", "spatial"):
        yield factorisation.spatial(weight, wanted, columns_II=seen.columns_II)
    if has_kernel and config.method in ("auto", "tucker2"):
        yield factorisation.tucker2(weight, wanted, inputs_CC=seen.inputs_CC)


def _absorbs_means(layer: WeightedLayer) -> bool:
    """Whether a constant error of a channel is free because a bias or BatchNorm absorbs it."""
    return layer.norm is not None or layer.module.bias is not None


def _bias(layer: WeightedLayer, factors: Factors, seen: Moments) -> Tensor | None:
    """Return the bias; behind a projection it also holds what the mean answer lost there."""
    bias = layer.module.bias
    if bias is None or factors.method != "channel" or seen.answers_O is None:
        return bias
    basis_OR = factors.weights[-1].flatten(1)
    mean_O = seen.mean() - bias.detach().double()
    return (bias.detach() + mean_O - basis_OR @ (basis_OR.T @ mean_O)).to(bias.dtype)


def _noted(compressed: CompressedModel, what: list[str]) -> CompressedModel:
    return compressed.evolve(notes=(*compressed.notes, *(f"{_NAME}: {text}" for text in what)))
