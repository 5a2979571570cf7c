"""Arrays that are no images as people have them: of any axes and any type of number. Torch-free.

Legend: N examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.tasks.conversion import numbers
from compress.tasks.conversion.numbers import Kept
from compress.tasks.formats import npz
from compress.values.errors import InvalidData
from compress.values.measurement import Split
from compress.values.shown import some


@dataclass(frozen=True, kw_only=True)
class Features:
    """How the arrays of all splits become arrays of one type; their axes stay as they are."""

    dtype: Kept
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that an array of the given shape gets."""
        return given

    def converted(self, rows: Iterator[NDArray[np.generic]]) -> Iterator[NDArray[np.generic]]:
        """Yield some examples after the other as they shall be."""
        for some_N in rows:
            with np.errstate(over="ignore", invalid="ignore"):
                yield np.ascontiguousarray(some_N, self.dtype)


def plan(archive: npz.Archive, arrays: Mapping[Split, str]) -> Features:
    """Decide how arrays are read. Raises InvalidData for arrays of several shapes, or of texts."""
    headers = [archive.arrays[name] for name in arrays.values()]
    rests = {header.shape[1:] for header in headers}
    if len(rests) > 1 or rests == {()}:
        raise InvalidData(
            "all splits must share one shape of examples, (N, ...) with the same axes behind N, "
            f"got {some(sorted(f'{each.name} {each.shape}' for each in headers))}"
        )
    dtype, notes = numbers.dtype(archive, headers, what="examples")
    return Features(dtype=dtype, notes=notes)
