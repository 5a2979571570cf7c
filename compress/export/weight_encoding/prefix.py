"""Optimal prefix codes of bounded length, written level by level instead of word by word.

A prefix code is a binary tree, and a tree of symbols can be stored as one bit per symbol and level:
the wavelet tree (Grossi, Gupta and Vitter, "High-order entropy-compressed text indexes", SODA
2003), whose Huffman shape takes exactly the bits of Huffman's code (Foschini, Grossi, Gupta and
Vitter, "When indexing equals compression", 2006, section 3). Numbering the code canonically, leaves
first, lets all nodes of one level share one plane: bit ``l`` of every symbol whose code is at least
``l`` long, in the order of the symbols. Each level is then decoded for all symbols at once by one
running count, with no loop over symbols (Claude and Navarro, "The wavelet matrix", 2012, make the
same step for balanced trees).

The lengths come from package-merge (Larmore and Hirschberg, "A fast algorithm for optimal
length-limited Huffman codes", JACM 1990).

Legend: A symbols of the alphabet in the order of their codes, N symbols of the text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LONGEST = 18


@dataclass(frozen=True, kw_only=True)
class Code:
    """A canonical code: ``lengths_A`` ascends, and shorter codes are numbered before longer ones.

    Symbols are numbered by their place in ``lengths_A``. ``bounds[j]`` is the number of symbols
    whose code has at most ``shortest + j`` bits.
    """

    lengths_A: NDArray[np.int64]

    @property
    def shortest(self) -> int:
        """The number of bits that every symbol has."""
        return int(self.lengths_A[0])

    @property
    def levels(self) -> int:
        """The number of bits that only some symbols have."""
        return int(self.lengths_A[-1]) - self.shortest

    @property
    def bounds(self) -> list[int]:
        """The number of symbols that end at each level but the last."""
        ends = range(self.shortest, self.shortest + self.levels)
        return [int((self.lengths_A <= end).sum()) for end in ends]

    def planes(
        self, symbols_N: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], list[NDArray[np.uint8]]]:
        """Return the first ``shortest`` bits of all symbols, ``(N, shortest)``, and the planes.

        With ``u`` the number of a node among all leaves above its level and all nodes of its
        level, and ``B`` the leaves down to the level above, ``u_child = 2 u - B + bit``.
        """
        nodes_A = np.arange(len(self.lengths_A))
        later: list[NDArray[np.uint8]] = []
        for level in reversed(range(self.levels)):
            inside_A = self.lengths_A > self.shortest + level
            doubled_A = nodes_A + self.bounds[level]
            bits_A = (doubled_A & 1).astype(np.uint8)
            nodes_A = np.where(inside_A, doubled_A >> 1, nodes_A)
            later.append(bits_A[symbols_N[inside_A[symbols_N]]])
        powers = np.arange(self.shortest)[::-1]
        first_NL = nodes_A[symbols_N][:, None] >> powers & 1
        return first_NL.astype(np.uint8), later[::-1]


def fixed(num_symbols: int) -> Code:
    """Return the code whose words are all equally long."""
    bits = max(1, (num_symbols - 1).bit_length())
    return Code(lengths_A=np.full(num_symbols, bits))


def optimal(counts_A: NDArray[np.int64]) -> list[Code]:
    """Return the best code of at most ``L`` bits for every ``L`` up to the unbounded one.

    ``counts_A`` descends, every entry is at least 1 and there are at least two. Costs
    ``O(A * LONGEST)``.
    """
    ascending_A = counts_A[::-1]
    lists: list[tuple[NDArray[np.int64], NDArray[np.bool_]]] = []
    packages = np.zeros(0, np.int64)
    for _ in range(LONGEST):
        merged = np.concatenate([ascending_A, packages])
        is_leaf = np.arange(len(merged)) < len(ascending_A)
        order = np.argsort(merged, kind="stable")
        lists.append((merged[order], is_leaf[order]))
        even = merged[order][: len(merged) // 2 * 2]
        packages = even[::2] + even[1::2]
    codes = []
    for limit in range(max(1, (len(counts_A) - 1).bit_length()), LONGEST + 1):
        codes.append(_lengths(lists[:limit], len(counts_A)))
        if codes[-1].lengths_A[-1] < limit:
            break
    return codes


def _lengths(lists: list[tuple[NDArray[np.int64], NDArray[np.bool_]]], symbols: int) -> Code:
    """Walk the lists back: a leaf is taken once at every level of its code."""
    taken, lengths_A = 2 * symbols - 2, np.zeros(symbols, np.int64)
    for _, is_leaf in reversed(lists):
        leaves = int(is_leaf[:taken].sum())
        lengths_A[:leaves] += 1
        taken = 2 * (taken - leaves)
    return Code(lengths_A=lengths_A[::-1].copy())
