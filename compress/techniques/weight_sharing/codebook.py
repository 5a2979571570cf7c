"""The constraint of a layer whose weights come from a codebook.

Legend: O output channels, I everything else of a weight, K levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from compress.constraints import Constraint
from compress.storage.stored import StoredWeight
from compress.techniques.weight_sharing import fitting
from compress.techniques.weight_sharing.config import WeightSharing
from compress.techniques.weight_sharing.fitting import TOP


class Codebook(Constraint):
    """Maps a weight to ``scale_o`` times the nearest of the levels.

    The latent weight is trained straight through, so a weight changes its level when it has moved
    far enough. With ``reclustered`` centroids ``refresh`` fits levels and scales to it again; with
    ``trained`` ones a level's gradient is the sum of those of the weights that use it (Han et al.,
    arXiv:1510.00149, section 3.2), taken per weight as for learned steps (Esser et al.,
    arXiv:1902.08153, section 2.2), and the scales stay. ``keep_zero`` reserves a level for the
    exact zeros of a mask, which stay zeros whatever happens to the levels.
    """

    levels_K: Tensor
    scale_O: Tensor
    importance: Tensor

    def __init__(
        self, weight: Tensor, *, config: WeightSharing, importance: Tensor, keep_zero: bool
    ) -> None:
        super().__init__()
        self._config = config
        self._keep_zero = keep_zero
        self.register_buffer("importance", importance)
        found = self._fit(weight)
        levels_K = torch.from_numpy(found.levels_K).to(weight.device, torch.float32)
        self.register_buffer("scale_O", self._as_scales(found, weight))
        if config.centroids == "trained":
            self.levels_K = nn.Parameter(levels_K)
        else:
            self.register_buffer("levels_K", levels_K)

    def forward(self, weight: Tensor) -> Tensor:
        """The nearest values of the codebook, with the gradient of the identity."""
        values = self._integers(weight) * self._scale(weight)
        return _StraightThrough.apply(weight, values)

    def refresh(self, weight: Tensor) -> None:
        """Fit the levels and scales to the weight, unless they are trained."""
        if self._config.centroids == "trained":
            return
        found = self._fit(weight)
        self.levels_K = torch.from_numpy(found.levels_K).to(weight.device, torch.float32)
        self.scale_O = self._as_scales(found, weight)

    @torch.no_grad()
    def stored(self, weight: Tensor) -> StoredWeight:
        """Levels as int8; one scale per output channel, or one in all."""
        integers = self._integers(weight).cpu().to(torch.int8).numpy()
        return StoredWeight(
            integers_OI=np.ascontiguousarray(integers), scale=self.scale_O.cpu().numpy()
        )

    def _integers(self, weight: Tensor) -> Tensor:
        """The level of every weight, as a float."""
        levels_K = self._levels(weight.numel())
        borders = (levels_K[1:] + levels_K[:-1]).detach() / 2
        relative = (weight.detach() / self._scale(weight)).contiguous()
        level = levels_K[torch.bucketize(relative, borders)]
        if not self._keep_zero:
            return level
        return torch.where(weight == 0, torch.zeros_like(level), level)

    def _levels(self, num_weights: int) -> Tensor:
        """Ascending whole numbers; zero is one of them, exactly, if it must be."""
        levels_K = self.levels_K
        if levels_K.requires_grad:
            levels_K = _GradientScale.apply(levels_K, len(levels_K) / num_weights)
        rounded_K = levels_K.detach().round().clamp(-TOP, TOP) + 0.0
        return _StraightThrough.apply(levels_K, rounded_K).sort().values

    def _scale(self, weight: Tensor) -> Tensor:
        return self.scale_O.view(-1, *[1] * (weight.ndim - 1))

    def _as_scales(self, found: fitting.Fit, weight: Tensor) -> Tensor:
        scale_O = torch.from_numpy(found.scale_O).to(weight.device)
        return scale_O if self._config.normalise == "channel" else scale_O[0].clone()

    @torch.no_grad()
    def _fit(self, weight: Tensor) -> fitting.Fit:
        weight_OI = weight.detach().cpu().double().flatten(1)
        importance_OI = self.importance.cpu().double().expand(weight.shape).reshape(weight_OI.shape)
        return fitting.fit(
            weight_OI.numpy(),
            importance_OI.numpy(),
            num_levels=2**self._config.index_bits,
            per_channel=self._config.normalise == "channel",
            keep_zero=self._keep_zero,
        )


class _StraightThrough(torch.autograd.Function):
    """``values``, bit for bit, with the gradient of ``x`` and its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        return gradients[0], gradients[0]


class _GradientScale(torch.autograd.Function):
    """The identity, whose gradient is multiplied."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None
