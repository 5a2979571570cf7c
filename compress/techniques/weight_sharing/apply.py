"""Put codebooks on the layers of a network."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor

from compress.network import layers
from compress.network.layers import WeightedLayer
from compress.network.network import Network
from compress.network.running import coverage
from compress.network.running.coverage import Reach
from compress.techniques.compressed import CompressedModel
from compress.techniques.weight_sharing.codebook import Codebook
from compress.techniques.weight_sharing.config import WeightSharing
from compress.training import calibration, constraints
from compress.training.context import TrialContext
from compress.values.errors import InvalidCandidate, NumericalError

_NAME = "weight_sharing"


def apply(
    compressed: CompressedModel, config: WeightSharing, context: TrialContext
) -> CompressedModel:
    """Return a copy whose layers take their weights from codebooks.

    Raises InvalidCandidate if one bit of index would also have to hold the zeros of a mask,
    NumericalError for weights that are not finite, and InvalidData if ``activation`` has no
    images to measure.
    """
    if not config.has_effect:
        return _noted(compressed, "index_bits is 0, no weight is shared")
    network = replace(compressed.network, module=deepcopy(compressed.network.module))
    found = layers.trained(network, exclude=config.exclude, technique=_NAME)
    if not found:
        return _noted(compressed, "every layer is excluded, no weight is shared")
    importances = _importances(network, found, config, context)
    for layer in found:
        _put(layer, importances[layer.name], config)
    every = {layer.name for layer in layers.trained(network, technique=_NAME)}
    reached = {layer.name for layer in found}
    reach = Reach(
        what=f"codebooks of {config.index_bits} bits",
        reached=reached,
        excluded=every - reached,
    )
    found_notes = coverage.notes(compressed.network.module, reach)
    notes = (*compressed.notes, *(f"{_NAME}: {note}" for note in found_notes))
    return compressed.after(config, network=network, notes=notes)


def _put(layer: WeightedLayer, importance: Tensor, config: WeightSharing) -> None:
    weight = layer.module.weight.detach()
    if not bool(torch.isfinite(weight).all()):
        raise NumericalError(f"{_NAME}: the weight of {layer.name} holds a NaN or an infinity")
    # A mask of a gradual schedule has no zeros at times.
    keep_zero = bool((weight == 0).any()) or bool(constraints.on(layer.module))
    if keep_zero and config.index_bits == 1:
        raise InvalidCandidate(
            f"{_NAME}: {layer.name} holds zeros, so index_bits 1 leaves one other value: "
            "use at least 2, or exclude the layer"
        )
    codebook = Codebook(weight, config=config, importance=importance, keep_zero=keep_zero)
    constraints.constrain(layer.module, codebook)


def _importances(
    network: Network, found: tuple[WeightedLayer, ...], config: WeightSharing, context: TrialContext
) -> Mapping[str, Tensor]:
    """Return the importance of a weight's squared error; it broadcasts to the weight."""
    if config.weighting == "none":
        return {layer.name: torch.ones(()) for layer in found}
    x_NCHW = calibration.sample(
        context.data.train, num_images=config.calibration_images, input_shape=network.input_shape
    )
    squares = calibration.mean_squares(network, found, x_NCHW, device=context.device)
    return {layer.name: _per_weight(squares[layer.name], layer) for layer in found}


def _per_weight(square: Tensor, layer: WeightedLayer) -> Tensor:
    """Return ``E[x^2]`` relative to its mean in the layer, never 0, so that every weight counts."""
    relative = square / square.mean().clamp_min(torch.finfo(square.dtype).tiny)
    repeats = len(layers.latent(layer.module)) // len(square)
    return relative.clamp_min(1e-3).repeat_interleave(repeats, dim=0)


def _noted(compressed: CompressedModel, what: str) -> CompressedModel:
    return compressed.evolve(notes=(*compressed.notes, f"{_NAME}: {what}"))
