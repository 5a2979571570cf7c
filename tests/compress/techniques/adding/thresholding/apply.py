"""Threshold the weights of a network (Donoho, De-noising by soft-thresholding, 1995)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from compress.network import layers
from compress.network.stored_weight import SparseFloat
from compress.techniques.compressed import CompressedModel
from compress.training import constraints
from compress.training.constraints import WeightConstraint
from compress.training.context import TrialContext

from .config import Thresholding


class Threshold(WeightConstraint):
    """``w`` where ``|w|`` exceeds the threshold, in soft mode nearer to zero; else zero."""

    def __init__(self, config: Thresholding) -> None:
        super().__init__()
        self._config = config

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with its zeros; they follow the weight while it is trained."""
        size = weight.abs()
        threshold = self._config.level * size.max()
        taken = self._config.shrinkage * threshold if self._config.mode == "soft" else 0.0
        return torch.where(size > threshold, weight.sign() * (size - taken), 0.0)

    def stored(self, weight: Tensor) -> SparseFloat:
        """The weight itself, zeros in it."""
        values = self(weight).detach().cpu().numpy()
        return SparseFloat(values_OI=np.ascontiguousarray(values))


def apply(
    compressed: CompressedModel, config: Thresholding, context: TrialContext
) -> CompressedModel:
    """A copy whose layers have thresholds."""
    if not config.has_effect:
        note = "thresholding: its level is 0, no weight becomes zero"
        return compressed.evolve(notes=(*compressed.notes, note))
    network = replace(compressed.network, module=deepcopy(compressed.network.module))
    for layer in layers.trained(network, technique="thresholding"):
        constraints.constrain(layer.module, Threshold(config))
    return compressed.after(config, network=network)
