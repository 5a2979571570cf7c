"""Rows of ids of any length, in memory as one list of numbers. Torch-free.

Legend: N rows, L ids of the longest row.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


class Ragged:
    """Rows of whole numbers, one after the other."""

    def __init__(self) -> None:
        """Begin without rows."""
        self._flat = array("i")
        self._ends = array("q", [0])

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._ends) - 1

    def add(self, row: Sequence[int]) -> None:
        """Take one more row."""
        self._flat.extend(row)
        self._ends.append(len(self._flat))

    @property
    def flat(self) -> NDArray[np.int32]:
        """All numbers."""
        return np.frombuffer(self._flat, np.int32) if self._flat else np.empty(0, np.int32)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The length of each row ``(N,)``."""
        return np.diff(np.frombuffer(self._ends, np.int64))

    @property
    def longest(self) -> int:
        """The length of the longest row, 0 without rows."""
        return int(self.lengths.max(initial=0))

    def of(self, is_chosen_N: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Return the numbers of some of the rows."""
        return self.flat[np.repeat(is_chosen_N, self.lengths)]

    def rows(self, chosen: NDArray[np.int64]) -> Ragged:
        """Return some of the rows, in the order of their numbers."""
        found = Ragged()
        for row in chosen.tolist():
            found.add(self._flat[self._ends[row] : self._ends[row + 1]])
        return found

    def padded(
        self, length: int, *, size: int, table: NDArray[np.int32] | None, filling: int = 0
    ) -> Iterator[NDArray[np.int32]]:
        """Yield rows ``(size or less, length)``, filled up at the right.

        Numbers are looked up in ``table``, if there is one.
        """
        ends_N = np.frombuffer(self._ends, np.int64)
        for begin in range(0, len(self), size):
            ends_B = ends_N[begin : begin + size + 1]
            flat = self.flat[ends_B[0] : ends_B[-1]]
            found_BL = np.full((len(ends_B) - 1, length), filling, np.int32)
            is_used_BL = np.arange(length) < np.diff(ends_B)[:, None]
            found_BL[is_used_BL] = flat if table is None else table[flat]
            yield found_BL
