"""The constraint of a weight that the file stores as float16 (binary16 of IEEE 754).

The file holds the weight with BatchNorm folded in, so it is the *folded* weight that is rounded:
``w' = half(f w) / f`` with the factor ``f`` of every channel, to nearest and ties to even. That is
one part in 2,048 at most, and an absolute error of ``2^-25`` below ``2^-14``, where float16 has no
more digits. The gradient passes straight through (Bengio et al., arXiv:1308.3432, section 4), as in
mixed-precision training with a float32 copy of the weights (Micikevicius et al., arXiv:1710.03740,
section 3.1).

Legend: O output channels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from compress.network import layers
from compress.network.layers import WeightedLayer
from compress.network.stored_weight import HalfFloat, halved
from compress.techniques.quantization.constraint import straight_through
from compress.training.constraints import WeightConstraint


class HalfPrecision(WeightConstraint):
    """Rounds a weight to float16 values as folded with BatchNorm; there is nothing to fit."""

    def __init__(self, layer: WeightedLayer) -> None:
        """Check the weight. Raises NumericalError if it is not finite or exceeds float16."""
        super().__init__()
        # A tuple hides the layer from the module tree, and a copy of the network copies it along.
        self._layer = (layer,)
        self.stored(layer.module.weight.detach())

    def forward(self, weight: Tensor) -> Tensor:
        """Return rounded values with the gradient of the identity."""
        with torch.no_grad():
            factor = self._factor(weight)
            rounded = ((weight.double() * factor).half().double() / factor).to(weight)
        return straight_through(rounded, weight)

    @torch.no_grad()
    def stored(self, weight: Tensor) -> HalfFloat:
        """Return the rounded weight, into which BatchNorm is still to be folded."""
        halved(
            (weight.double() * self._factor(weight)).cpu().numpy(),
            what=f"a weight of {self._layer[0].name}, with BatchNorm folded in,",
            way_out="leave the layer out with exclude, or give it 8 bits with layer_bits",
        )
        values = self(weight).detach().cpu().numpy()
        return HalfFloat(values_OI=np.ascontiguousarray(values))

    def _factor(self, weight: Tensor) -> Tensor:
        factor_O = layers.norm_factor(self._layer[0]).to(weight.device)
        # A channel that BatchNorm switches off is zero in the file, whatever its weights are.
        factor_O = torch.where(factor_O == 0, 1.0, factor_O)
        return factor_O.view(-1, *[1] * (weight.ndim - 1))
