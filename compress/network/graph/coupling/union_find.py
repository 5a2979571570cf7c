"""Labels that turn out to be one: a union-find that works on whole axes at a time.

Path halving and union by the smaller label (Tarjan and van Leeuwen, JACM 1984); the smallest
member stands for a set, so that channels keep the order in which they were met. Torch-free.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

LabelArray: TypeAlias = NDArray[np.int64]
"""The label of every index along one axis; 0 stays for ever."""
_START = 1024


class UnionFind:
    """Sets of labels. A set may be held in its place, for a reason, and may be inexact.

    Label 0 is held from the start and never joins another: what meets it is held too.
    """

    def __init__(self) -> None:
        self._parent = np.arange(_START)
        self._held = np.zeros(_START, np.int64)
        self._blurred = np.zeros(_START, bool)
        self.size = 1
        self._reasons = [""]

    def fresh(self, length: int) -> LabelArray:
        """Return new labels ``(length,)``, each a set of its own."""
        while self.size + length > len(self._parent):
            self._grow()
        labels = np.arange(self.size, self.size + length)
        self.size += length
        return labels

    def roots(self, labels: LabelArray) -> LabelArray:
        """Return what stands for the set of every label."""
        found = self._parent[labels]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                break
            found = above
        self._parent[labels] = found
        return found

    def join(self, one_S: LabelArray, other_S: LabelArray, reason: str) -> None:
        """Make each two labels one; ``reason`` says why those that meet label 0 are held."""
        if one_S is other_S:
            return
        one_S, other_S = self.roots(one_S), self.roots(other_S)
        meets_zero = (one_S == 0) != (other_S == 0)
        self.hold(np.maximum(one_S, other_S)[meets_zero], reason)
        apart = (one_S != other_S) & ~meets_zero
        low, high = np.minimum(one_S, other_S)[apart], np.maximum(one_S, other_S)[apart]
        each = np.sort(np.concatenate([low, high]))
        if (each[1:] != each[:-1]).all():
            self._unite(low, high)
            return
        for one, other in sorted(set(zip(low.tolist(), high.tolist(), strict=True))):
            roots = sorted((self._root(one), self._root(other)))
            if roots[0] != roots[1]:
                self._unite(np.array(roots[:1]), np.array(roots[1:]))

    def hold(self, labels: LabelArray, reason: str) -> None:
        """Say that these never leave; the first reason counts."""
        roots = self.roots(labels)
        free = roots[(self._held[roots] == 0) & (roots != 0)]
        if len(free):
            self._reasons.append(reason)
            self._held[free] = len(self._reasons) - 1

    def blur(self, labels: LabelArray) -> None:
        """Say that others change when these leave."""
        self._blurred[self.roots(labels)] = True

    def is_free(self, labels: LabelArray) -> NDArray[np.bool_]:
        """Return which labels may leave."""
        roots = self.roots(labels)
        return (roots != 0) & (self._held[roots] == 0)

    def is_blurred(self, labels: LabelArray) -> NDArray[np.bool_]:
        """Return which labels change others when they leave."""
        return self._blurred[self.roots(labels)]

    def reasons(self, labels: LabelArray) -> list[str]:
        """Return why these are held, every reason once, in the order of the labels."""
        held = self._held[self.roots(labels)].tolist()
        return list(dict.fromkeys(self._reasons[number] for number in held if number))

    def _unite(self, low: LabelArray, high: LabelArray) -> None:
        """Make sets one each, of which no two are the same."""
        self._parent[high] = low
        self._held[low] = np.where(self._held[low], self._held[low], self._held[high])
        self._blurred[low] |= self._blurred[high]

    def _root(self, label: int) -> int:
        parent = self._parent
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = int(parent[label])
        return label

    def _grow(self) -> None:
        more = len(self._parent)
        self._parent = np.concatenate([self._parent, np.arange(more, 2 * more)])
        self._held = np.concatenate([self._held, np.zeros(more, np.int64)])
        self._blurred = np.concatenate([self._blurred, np.zeros(more, bool)])
