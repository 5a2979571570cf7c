"""Put masks on the layers of a network."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from compress.network import layers
from compress.network.layers import WeightedLayer
from compress.network.network import Network
from compress.network.running import coverage
from compress.network.running.coverage import Reach
from compress.techniques.compressed import CompressedModel
from compress.techniques.sparsity import selection
from compress.techniques.sparsity.config import Sparsity
from compress.techniques.sparsity.mask import Mask, Rule
from compress.training import calibration, constraints
from compress.training.context import TrialContext
from compress.values.errors import InvalidCandidate, NumericalError

_NAME = "sparsity"


def apply(compressed: CompressedModel, config: Sparsity, context: TrialContext) -> CompressedModel:
    """Return a copy whose layers are masked, and notes about what was left dense.

    Raises InvalidCandidate if the inputs of no layer divide by the pattern, NumericalError for
    weights that are not finite, and InvalidData if wanda has no images to measure.
    """
    if not config.has_effect:
        return _noted(compressed, "the sparsity is 0, no weight was pruned")
    network = replace(compressed.network, module=deepcopy(compressed.network.module))
    found = layers.trained(network, exclude=config.exclude, technique=_NAME)
    if not found:
        return _noted(compressed, "every layer is excluded, no weight was pruned")
    _check_finite(found)
    chosen, notes = _divisible(found, config)
    factors = _factors(network, chosen, config, context)
    rules = _rules(chosen, factors, config)
    for layer in chosen:
        _put(layer, rule=rules[layer.name], factor=factors[layer.name], config=config)
    if all(_is_dense(layer) for layer in chosen):
        return _noted(compressed, f"a share of {config.sparsity:g} is less than one weight")
    notes += _not_covered(compressed.network, found, chosen)
    return compressed.after(config, network=network, notes=compressed.notes + notes)


def _not_covered(
    before: Network, found: tuple[WeightedLayer, ...], chosen: tuple[WeightedLayer, ...]
) -> tuple[str, ...]:
    """Return the note about weights in other layers than these."""
    named = {layer.name for layer in found}
    every = {layer.name for layer in layers.trained(before, technique=_NAME)}
    reach = Reach(
        what="zeros",
        reached={layer.name for layer in chosen},
        excluded=every - named,
        described=named,
    )
    return tuple(f"{_NAME}: {note}" for note in coverage.notes(before.module, reach))


def _put(layer: WeightedLayer, *, rule: Rule, factor: Tensor, config: Sparsity) -> None:
    gradual = config.schedule == "gradual"
    weight = layers.latent(layer.module).detach()
    mask = Mask(weight, rule=rule, factor=factor, is_gradual=gradual)
    constraints.constrain(layer.module, mask)


def _divisible(
    found: tuple[WeightedLayer, ...], config: Sparsity
) -> tuple[tuple[WeightedLayer, ...], tuple[str, ...]]:
    """Return the layers that take the pattern, and a note about the others."""
    if config.kept_of_group is None:
        return found, ()
    _, size = config.kept_of_group
    inputs = {layer.name: layer.view.run_length(layer.module) for layer in found}
    odd = [f"{name} ({number})" for name, number in inputs.items() if number % size]
    if len(odd) == len(found):
        raise InvalidCandidate(
            f"{_NAME}: the pattern {config.pattern} divides the input channels of no layer: "
            f"{', '.join(odd)}; use a smaller pattern, or none"
        )
    notes: tuple[str, ...] = ()
    if odd:
        what = f"does not divide the input channels of {', '.join(odd)}, left dense"
        notes = (f"{_NAME}: the pattern {config.pattern} {what}",)
    return tuple(layer for layer in found if inputs[layer.name] % size == 0), notes


def _factors(
    network: Network, chosen: tuple[WeightedLayer, ...], config: Sparsity, context: TrialContext
) -> Mapping[str, Tensor]:
    """Return the factor that turns a magnitude into an importance."""
    if config.criterion != "wanda":
        return {layer.name: torch.ones(()) for layer in chosen}
    x_NCHW = calibration.sample(
        context.data.train, num_images=config.calibration_images, input_shape=network.input_shape
    )
    squares = calibration.mean_squares(network, chosen, x_NCHW, device=context.device)
    return {
        layer.name: selection.input_norms(squares[layer.name], layers.latent(layer.module).shape)
        for layer in chosen
    }


def _rules(
    chosen: tuple[WeightedLayer, ...], factors: Mapping[str, Tensor], config: Sparsity
) -> Mapping[str, Rule]:
    if config.kept_of_group is not None:
        kept, size = config.kept_of_group
        rule = partial(selection.largest_of_groups, kept=kept, size=size)
        return {layer.name: rule for layer in chosen}
    zeros = _zeros(chosen, factors, config)
    choose = selection.largest_per_row if config.scope == "row" else selection.largest
    return {layer.name: partial(choose, zeros=zeros[layer.name]) for layer in chosen}


def _zeros(
    chosen: tuple[WeightedLayer, ...], factors: Mapping[str, Tensor], config: Sparsity
) -> Mapping[str, int]:
    """Return the number of zeros per layer, or per output channel if the scope is a row."""
    weights = {layer.name: layers.latent(layer.module).detach() for layer in chosen}
    if config.scope == "layer":
        return {n: selection.num_zeros(w.numel(), config.sparsity) for n, w in weights.items()}
    if config.scope == "row":
        return {n: selection.num_zeros(w[0].numel(), config.sparsity) for n, w in weights.items()}
    if config.criterion == "lamp":
        scores = {name: selection.lamp(weight) for name, weight in weights.items()}
    else:
        scores = {name: weight.abs() * factors[name] for name, weight in weights.items()}
    if config.criterion == "wanda":
        scores = {layer.name: _behind_norm(layer, scores[layer.name]) for layer in chosen}
    return selection.zeros_per_layer(scores, config.sparsity)


def _behind_norm(layer: WeightedLayer, score_OI: Tensor) -> Tensor:
    """Scale scores by what BatchNorm makes of a channel: only these compare between layers."""
    factor_O = layers.norm_factor(layer).abs().float()
    return score_OI * factor_O.view(-1, *[1] * (score_OI.ndim - 1))


def _check_finite(found: tuple[WeightedLayer, ...]) -> None:
    for layer in found:
        if not bool(torch.isfinite(layers.latent(layer.module)).all()):
            raise NumericalError(f"{_NAME}: the weight of {layer.name} holds a NaN or an infinity")


def _is_dense(layer: WeightedLayer) -> bool:
    return all(
        bool(part.mask.all()) for part in constraints.on(layer.module) if isinstance(part, Mask)
    )


def _noted(compressed: CompressedModel, what: str) -> CompressedModel:
    return compressed.evolve(notes=(*compressed.notes, f"{_NAME}: {what}"))
