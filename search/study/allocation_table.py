"""A table of allocations, interpolated for thousands of values of the allocation knobs.

One allocation solves two knapsack problems, which takes hundredths of a second. A few hundred of
them, spread over the knobs, are solved once; values in between are interpolated on the logarithms
of share and damage. A sampler can therefore ask about every point it considers. The answers are
estimates: allocations move in steps, and the weights of a file are entropy coded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compress.techniques.rules import canonical
from search.allocation import knapsack
from search.space import points
from search.space.allocation_knobs import PRUNING, SHARES, SHARPNESS, Allocation
from search.space.space import Space

if TYPE_CHECKING:
    from scipy.interpolate import RegularGridInterpolator

Array = NDArray[np.float64]
Candidates = Sequence[Mapping[str, Any]]
_BUDGETS = 16
_WAYS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_SHARPNESSES = (0.0, 0.5, 1.0)
_LEAST_DAMAGE = 1e-3
"""Share of the largest damage below which two damages cannot be told apart."""
_TINY = float(np.finfo(np.float64).tiny)
_SINGLE = 2
"""The numbers of an allocation before the ratios of its stages: share and damage."""
_EDGES = "quantization.edges_8bit"


@dataclass(kw_only=True)
class AllocationTable:
    """The allocations of one job's space; the model's profile is known.

    ``knobs`` are the allocation knobs; their values matter only through the allocation that they
    lead to. ``low`` and ``high`` are the ends of the knob that sets the share to keep. The latest
    answer is kept, because the numbers of an allocation are asked for one after the other.
    """

    allocation: Allocation
    knobs: frozenset[str]
    low: float
    high: float
    edges_8bit: bool
    _latest: tuple[Candidates, Array] | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, space: Space) -> AllocationTable | None:
        """Build the table for a search space.

        Returns None if no knob controls allocation or the profile is not available yet.
        """
        allocation = space.allocation
        if allocation is None or allocation.profile is None:
            return None
        share = next(k for k in space.knobs if k.name == SHARES[allocation.choices.axis])
        assert share.low is not None
        assert share.high is not None
        fixed = {knob.name: knob.choices[0] for knob in space.knobs if knob.kind == "fixed"}
        edges = fixed.get(_EDGES, canonical.default(_EDGES))
        return cls(
            allocation=allocation,
            knobs=frozenset({share.name, PRUNING, SHARPNESS} & {knob.name for knob in space.knobs}),
            low=share.low,
            high=share.high,
            edges_8bit=bool(edges),
        )

    def shares(self, candidates: Candidates) -> list[float]:
        """Return the share of the baseline's bytes or MACs that each candidate keeps."""
        return self._column(0, candidates)

    @property
    def hints(self) -> tuple[Callable[[Candidates], list[float]], ...]:
        """The functions that describe an allocation further.

        They give the damage that the profile predicts, in nats, and the ratio of every stage.
        """
        stages = len(self.allocation.choices.ratios)
        return tuple(partial(self._column, place) for place in range(1, _SINGLE + stages))

    def _column(self, place: int, candidates: Candidates) -> list[float]:
        if self._latest is None or self._latest[0] is not candidates:
            self._latest = candidates, self._found(candidates)
        return self._latest[1][:, place].tolist()

    def _found(self, candidates: Candidates) -> Array:
        """Return share, damage and ratios, ``(N, 2 + stages)``."""
        names = (SHARES[self.allocation.choices.axis], PRUNING, SHARPNESS, _EDGES)
        otherwise = (self.high, 1.0, 1.0, self.edges_8bit)
        rows = np.array(list(points.rows(candidates, names, otherwise)), dtype=float).reshape(-1, 4)
        rows[:, 0] = np.log(np.clip(rows[:, 0], self.low, self.high))
        rows[:, 1:3] = np.clip(rows[:, 1:3], 0.0, 1.0)
        found = np.empty((len(rows), _SINGLE + len(self.allocation.choices.ratios)))
        for edges in np.unique(rows[:, 3]):
            mine = rows[:, 3] == edges
            found[mine] = self._tables(bool(edges))(rows[mine, :3])
        found[:, :_SINGLE] = np.exp(found[:, :_SINGLE])
        return found

    @cached_property
    def _tables(self) -> Callable[[bool], RegularGridInterpolator]:
        return cache(self._table)

    def _table(self, edges_8bit: bool) -> RegularGridInterpolator:
        """Interpolate log share, log damage and ratios over log budget, pruning and sharpness."""
        from scipy.interpolate import RegularGridInterpolator

        allotter = replace(self.allocation.allotter, solve=knapsack.nearly)
        chooses_both = allotter.choices.chooses_bits and allotter.choices.chooses_ratios
        ways = _WAYS if chooses_both else _WAYS[-1:]
        budgets = np.geomspace(self.low, self.high, _BUDGETS)
        solved = [
            allotter.allot(float(share), pruning=way, sharpness=sharp, edges_8bit=edges_8bit)
            for share, way, sharp in product(budgets, ways, _SHARPNESSES)
        ]
        table = np.array([(each.share, each.damage, *each.ratios) for each in solved])
        floor = _LEAST_DAMAGE * max(float(table[:, 1].max()), _TINY)
        table[:, 1] = np.maximum(table[:, 1], floor)
        table[:, :_SINGLE] = np.log(table[:, :_SINGLE])
        table = table.reshape(len(budgets), len(ways), len(_SHARPNESSES), -1)
        # If only one way matters, all of them get its values.
        table = np.broadcast_to(table, (len(budgets), len(_WAYS), *table.shape[2:]))
        axes = (np.log(budgets), np.array(_WAYS), np.array(_SHARPNESSES))
        return RegularGridInterpolator(axes, table)
