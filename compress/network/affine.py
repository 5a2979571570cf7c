"""Normalisation as three constants per channel, in a form that float32 computes well.

``(x * scale - mean) / std`` is ``x * factor + offset``, in float32 with an error of about
``6e-8 |mean / std|``. If the mean lies many deviations from zero, that is too much, and it is
subtracted first: ``(x - shift) * factor + offset``. That difference of close numbers is exact
(Sterbenz), and the offset holds what the rounded shift has left of the mean.

Legend: C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from compress.network.preprocessing import Normalisation
from compress.network.signature import IMAGE_AXES

_FAR = 64.0
"""Deviations from zero from which on a mean is taken off first; 8-bit pixels are never so far."""


@dataclass(frozen=True, kw_only=True)
class Affine:
    """The constants of ``(x - shift) * factor + offset``, float32.

    Each is of shape ``(C, 1, 1)``, or of as many axes as an example has.
    """

    shift_C11: Tensor
    factor_C11: Tensor
    offset_C11: Tensor

    @property
    def has_shift(self) -> bool:
        """Whether some channel is far from zero."""
        return bool((self.shift_C11 != 0).any())

    @property
    def is_identity(self) -> bool:
        """Whether values stay as they are."""
        scales = bool((self.factor_C11 != 1).any() or (self.offset_C11 != 0).any())
        return not scales and not self.has_shift


def affine(normalisation: Normalisation, *, axes: int = IMAGE_AXES) -> Affine:
    """Compute the constants, in float64, for examples of so many axes.

    The first axis is that of the channels; with one mean and one deviation, they are for all.
    """
    mean_C = torch.tensor(normalisation.mean, dtype=torch.float64)
    std_C = torch.tensor(normalisation.std, dtype=torch.float64)
    raw_mean_C = mean_C / normalisation.scale
    is_far_C = (mean_C / std_C).abs() > _FAR
    shift_C = torch.where(is_far_C, raw_mean_C.float().double(), 0.0)
    left_C = (raw_mean_C - shift_C) * (normalisation.scale / std_C)
    offset_C = torch.where(is_far_C, -left_C, -mean_C / std_C)
    factor_C = normalisation.scale / std_C
    shape = (-1, *(1,) * (axes - 1))
    shift, factor, offset = (each.float().reshape(shape) for each in (shift_C, factor_C, offset_C))
    return Affine(shift_C11=shift, factor_C11=factor, offset_C11=offset)
