"""Mean and deviation of every channel of images, of a sample of their pixels. Torch-free.

Legend: P pixels, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compress.network.preprocessing import Normalisation
from compress.values import raw_values

_PIECES = 64
"""So many pieces of a megabyte at most are looked at, evenly over all of them."""
_DIGITS = 4


class ChannelStatistics:
    """What is told of pieces of an array, some of which are enough for four digits."""

    def __init__(self, *, channels: int, pieces: int) -> None:
        """Expect so many pieces of pixels of so many channels."""
        self._channels = channels
        self._every = max(1, -(-pieces // _PIECES))
        self._seen = 0
        self._count = 0
        self._origin_C = np.zeros(channels)
        self._sum_C = np.zeros(channels)
        self._squares_C = np.zeros(channels)

    def add(self, flat: NDArray[np.generic]) -> None:
        """Look at the next piece, whole pixels one after the other, if its turn has come."""
        self._seen += 1
        if (self._seen - 1) % self._every or not len(flat):
            return
        values_PC = flat.reshape(-1, self._channels).astype(np.float64)
        if not self._count:
            self._origin_C = values_PC.mean(axis=0)  # so that no large mean swallows a deviation
        values_PC -= self._origin_C
        self._count += len(values_PC)
        self._sum_C += values_PC.sum(axis=0)
        self._squares_C += np.einsum("pc,pc->c", values_PC, values_PC)

    def normalisation(
        self, ranges: Sequence[tuple[float, float]], dtype: np.dtype[np.generic]
    ) -> Normalisation | None:
        """Return what gives every channel mean 0 and deviation 1; None if no numbers can say it.

        Bytes become 0 to 1 first; constant channels keep their width.
        """
        if not self._count:
            return None
        scale = 1 / 255 if dtype == np.uint8 else 1.0
        shift_C = self._sum_C / self._count
        std_C = np.sqrt(np.maximum(self._squares_C / self._count - shift_C**2, 0.0))
        std = [
            raw_values.constant_deviation(low, high) if raw_values.is_constant(low, high) else own
            for own, (low, high) in zip(std_C.tolist(), ranges, strict=True)
        ]
        mean = (self._origin_C + shift_C).tolist()
        try:
            return Normalisation(
                scale=scale,
                mean=tuple(_rounded(scale * each) for each in mean),
                std=tuple(_rounded(scale * each) for each in std),
            )
        except ValueError:  # a sample without a difference, or values at the end of float32
            return None


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
