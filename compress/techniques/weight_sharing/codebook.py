"""The constraint of a layer whose weights come from a codebook.

Legend: O output channels, I everything else of a weight, K levels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from compress.network.stored_weight import StoredWeight
from compress.techniques.weight_sharing import fitting
from compress.techniques.weight_sharing.config import WeightSharing
from compress.techniques.weight_sharing.fitting import TOP
from compress.training.constraints import WeightConstraint

_LEAST_POWER = -126
"""Of two, that float32 holds in full precision."""


class Codebook(WeightConstraint):
    """Maps a weight to ``scale_o`` times the nearest of the levels.

    The latent weight is trained straight through, so a weight changes its level when it has moved
    far enough. With ``reclustered`` centroids ``refresh`` fits levels and scales to it again; with
    ``trained`` ones a level is learned as a centroid in units of the weights, so that a learning
    rate means for it what it means for them. The gradient of a centroid is the sum of those of its
    weights (Han et al., arXiv:1510.00149, section 3.2) over the root of the number of weights per
    level: then a centroid moves about as far as one weight (Esser et al., arXiv:1902.08153,
    section 2.2). ``keep_zero`` reserves a level for the exact zeros of a mask, which stay zeros
    whatever happens to the levels.
    """

    centroids_K: Tensor
    pinned_K: Tensor
    scale_O: Tensor
    unit: Tensor
    importance: Tensor

    def __init__(
        self, weight: Tensor, *, config: WeightSharing, importance: Tensor, keep_zero: bool
    ) -> None:
        super().__init__()
        self._config = config
        self._keep_zero = keep_zero
        self.register_buffer("importance", importance)
        for name in ("centroids_K", "pinned_K", "scale_O", "unit"):
            self.register_buffer(name, torch.empty(0))
        self._follow_(weight)
        if self.learns:
            centroids_K = self.centroids_K
            del self.centroids_K
            self.centroids_K = nn.Parameter(centroids_K)

    @property
    def learns(self) -> bool:
        """Whether gradients move the levels."""
        return self._config.centroids == "trained"

    @property
    def levels_K(self) -> Tensor:  # noqa: N802 (K says what its axis counts, as in all names)
        """Return the levels in steps of the int8 grid, in [-127, 127]; rounded ones are stored."""
        levels_K = self.centroids_K / (self.unit * self._growth())
        return torch.where(self.pinned_K, 0.0, levels_K)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the nearest values of the codebook, with the gradient of the identity."""
        scale = self._scale(weight)
        return _StraightThrough.apply(weight, self._integers(weight, scale) * scale)

    def refresh(self, weight: Tensor) -> None:
        """Fit the levels and scales to the weight, unless they are trained."""
        if not self.learns:
            self._follow_(weight)

    @torch.no_grad()
    def stored(self, weight: Tensor) -> StoredWeight:
        """Return levels as int8, with one scale per output channel or a single one."""
        integers = self._integers(weight, self._scale(weight)).cpu().to(torch.int8).numpy()
        return StoredWeight(
            integers_OI=np.ascontiguousarray(integers),
            scale=(self.scale_O * self._growth()).cpu().numpy(),
        )

    def _integers(self, weight: Tensor, scale: Tensor) -> Tensor:
        """Return the level of every weight, as a float."""
        levels_K = self._levels(weight.numel())
        borders = (levels_K[1:] + levels_K[:-1]).detach() / 2
        relative = (weight.detach() / scale).contiguous()
        level = levels_K[torch.bucketize(relative, borders)]
        if not self._keep_zero:
            return level
        return torch.where(weight == 0, torch.zeros_like(level), level)

    def _levels(self, num_weights: int) -> Tensor:
        """Return ascending whole numbers; zero is one of them, exactly, if it must be."""
        levels_K = self.levels_K
        if levels_K.requires_grad:
            levels_K = _GradientScale.apply(levels_K, math.sqrt(len(levels_K) / num_weights))
        rounded_K = levels_K.detach().round() + 0.0
        return _StraightThrough.apply(levels_K, rounded_K).sort().values

    def _growth(self) -> Tensor:
        """Return the growth of the scales with which the outermost learned levels fit the grid."""
        largest = self.centroids_K.detach().abs().max()
        return (largest / (self.unit * TOP)).clamp_min(1.0)

    def _scale(self, weight: Tensor) -> Tensor:
        scale_O = self.scale_O * self._growth()
        return scale_O.view(-1, *[1] * (weight.ndim - 1))

    def _follow_(self, weight: Tensor) -> None:
        found = self._fit(weight)
        levels_K = torch.from_numpy(found.levels_K).to(weight.device, torch.float32)
        scale_O = torch.from_numpy(found.scale_O).to(weight.device)
        self.scale_O = scale_O if self._config.normalise == "channel" else scale_O[0].clone()
        self.centroids_K = levels_K
        self.pinned_K = (levels_K == 0) & self._keep_zero
        self.unit = torch.ones((), device=weight.device)
        self.unit = self._weights_per_level(weight)
        self.centroids_K = levels_K * self.unit

    def _weights_per_level(self, weight: Tensor) -> Tensor:
        """The size of the weights over that of their levels, as the nearest power of two.

        Multiplied by a power of two, whole levels stay whole, bit for bit.
        """
        scale = self._scale(weight).double()
        integers = self._integers(weight, self._scale(weight)).double()
        size = torch.linalg.vector_norm(integers * scale) / torch.linalg.vector_norm(integers)
        return (
            torch.where(size > 0, size, 1.0).log2().round().clamp_min(_LEAST_POWER).exp2().float()
        )

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
    """Returns ``values``, bit for bit, with the gradient of ``x`` and its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        return gradients[0], gradients[0]


class _GradientScale(torch.autograd.Function):
    """The identity with a scaled gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None
