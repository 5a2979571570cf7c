"""Whether a network of ids answers alike however far a row is padded. Torch-free.

A row of ids ends with zeros where another of its batch is longer. Networks that read these as
words, such as means without a mask and layers that read a sequence from its end, answer
otherwise beside a longer row than alone.

Legend: N rows, L length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from compress.network.signature import Signature

Outputs: TypeAlias = Sequence[NDArray[Any]]
"""Every output of a network, examples along its first axis."""
INVARIANT = 1e-3
"""At most so much of the spread of the answers may change where padding says nothing."""
_LEAST_SPREAD = 1e-6
_SHARES = (0.5, 0.75)
_MOST_ROWS = 8


def applies(signature: Signature, num_ids: int | None) -> bool:
    """Whether the inputs are ids of sequences whose length is open."""
    are_ids = num_ids is not None and all(
        len(port.shape) == 2 and "float" not in port.dtype for port in signature.taken
    )
    return are_ids and bool(signature.open_axes)


def rows(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return up to eight examples ``(N, L)`` or ``(N, P, L)`` that end with padding.

    Where none do, two are cut and padded.
    """
    padded = x[lengths(x) < x.shape[-1]]
    if len(padded):
        _, first = np.unique(lengths(padded), return_index=True)
        return padded[np.sort(first)[:_MOST_ROWS]]
    found = x[: len(_SHARES)].copy()
    for row, share in zip(found, _SHARES, strict=False):
        row[..., max(1, int(share * x.shape[-1])) :] = 0
    return found


def lengths(x: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return how many places of every example are no padding, in its longest part; 1 at least."""
    is_word = (x != 0).reshape(len(x), -1, x.shape[-1]).any(axis=1)
    found = is_word.shape[1] - is_word[:, ::-1].argmax(axis=1)
    return np.where(is_word.any(axis=1), found, 1)


def change(answer: Callable[[NDArray[np.float32]], Outputs], x: NDArray[np.float32]) -> float:
    """Return by how much answers to rows change if they are alone and without their padding.

    It is a share of the spread of the answers, the largest of all outputs. Of answers to every
    place only those to words are compared. ``answer`` is asked for one row at a time, and for all.
    """
    whole = answer(x)
    spreads = [max(float(each.std()), _LEAST_SPREAD) for each in whole]
    largest = 0.0
    for row, length in enumerate(lengths(x)):
        pairs = _pairs(answer, x, whole, row, length)
        for (alone, beside), spread in zip(pairs, spreads, strict=True):
            apart = np.nan_to_num(np.abs(alone - beside), nan=np.inf)
            largest = max(largest, float(apart.max(initial=0.0)) / spread)
    return largest


def _pairs(
    answer: Callable[[NDArray[np.float32]], Outputs],
    x: NDArray[np.float32],
    whole: Outputs,
    row: int,
    length: int,
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield each output to one row alone, and the same numbers of the output to all."""
    for alone, beside in zip(answer(x[row : row + 1, ..., :length]), whole, strict=True):
        same = beside[row : row + 1][tuple(slice(size) for size in alone.shape)]
        yield alone.astype(np.float64), same.astype(np.float64)


def changes(found: float) -> str:
    """Say that answers change, and what may be done."""
    return (
        f"answers change with padding: max {found:.2g} of their spread, for the same row alone and "
        "beside a longer one: let the network leave out ids of 0, by a mask or by lengths"
    )
