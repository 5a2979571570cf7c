"""Tables of candidates whose accuracy and cost are all known: read from a file, or made up.

The made-up ones are landscapes with effects of single knobs and of pairs (in the manner of
Kauffman and Weinberger's NK landscapes, J. Theoretical Biology 141, 1989): ``pairs`` has seven
choices of four, ``ordered`` five numbers of eight values, ``plateaus`` a mixture with combinations
that fail and accuracies in whole percents.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search.samplers import Knowledge
from search.space import points

Point = tuple[Any, ...]
_SIZES: Mapping[str, tuple[tuple[int, bool], ...]] = {
    "pairs": ((4, False),) * 7,
    "ordered": ((8, True),) * 5,
    "plateaus": ((5, False), (5, True), (3, False), (3, True), (3, False), (4, True), (4, False)),
}
"""Number of values of each knob, and whether they have an order."""
SYNTHETIC = tuple(_SIZES)
_COST = 1
"""Index of the objective that is known."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One row per candidate; ``accuracy`` in percent."""

    name: str
    knobs: tuple[str, ...]
    points: list[Point]
    accuracy: NDArray[np.float64]
    cost: NDArray[np.float64]

    @cached_property
    def rows(self) -> dict[Point, int]:
        """The row of each candidate."""
        return {point: row for row, point in enumerate(self.points)}

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Every knob as a choice among the values that the table has."""
        columns = zip(*self.points, strict=True)
        return {
            name: CategoricalDistribution(sorted(set(column), key=_in_order))
            for name, column in zip(self.knobs, columns, strict=True)
        }

    @cached_property
    def knowledge(self) -> Knowledge:
        """The space, and the exact cost as the second objective."""
        return Knowledge(space=self.distributions, costs={_COST: self.costs})

    def row(self, params: Mapping[str, Any]) -> int | None:
        """The row of a candidate; None where the table lacks it."""
        return self.rows.get(tuple(params[name] for name in self.knobs))

    def costs(self, candidates: Sequence[Mapping[str, Any]]) -> list[float]:
        """What each candidate costs. One that the table lacks costs as much as the dearest."""
        most = float(self.cost.max())
        wanted = points.rows(candidates, self.knobs, [None] * len(self.knobs))
        found = [self.rows.get(point) for point in wanted]
        return [most if row is None else float(self.cost[row]) for row in found]


def read(path: Path, *, knobs: Sequence[str], accuracy: str, cost: str) -> Table:
    """A table of a ``.csv`` or ``.parquet`` file.

    A row without an accuracy is a candidate that fails: it is left out, and that is said.

    Raises SystemExit, saying what is wrong, for a file or a column that is not there, a candidate
    that is there twice, a number that is none, and a cost that has no logarithm.
    """
    if not path.exists():
        raise SystemExit(f"there is no table {path}")
    names = [*knobs, accuracy, cost]
    columns = _parquet(path, names) if path.suffix == ".parquet" else _csv(path, names)
    points = list(zip(*(columns[name] for name in knobs), strict=True))
    if len(set(points)) < len(points):
        raise SystemExit(
            f"{path} has {len(points)} rows and {len(set(points))} different candidates: name all "
            f"columns of choices, got {list(knobs)}"
        )
    accuracies, costs = _numbers(path, accuracy, columns), _numbers(path, cost, columns)
    kept = [row for row in range(len(points)) if not np.isnan(accuracies[row])]
    if len(kept) < len(points):
        print(
            f"{len(points) - len(kept)} rows have no {accuracy}: their candidates count as failed"
        )
    if not kept or not (np.isfinite(costs[kept]) & (costs[kept] > 0)).all():
        raise SystemExit(
            f"{path} needs rows with {accuracy!r}, and in all of them a {cost!r} above 0, of which "
            "the logarithm is taken"
        )
    return Table(
        name=path.stem,
        knobs=tuple(knobs),
        points=[points[row] for row in kept],
        accuracy=accuracies[kept],
        cost=costs[kept],
    )


def _numbers(path: Path, name: str, columns: Mapping[str, list[Any]]) -> NDArray[np.float64]:
    try:
        return np.array([np.nan if each is None else each for each in columns[name]], dtype=float)
    except ValueError as error:
        raise SystemExit(f"{path} has something in {name!r} that is no number: {error}") from None


def _in_order(value: Any) -> tuple[str, Any]:
    """Numbers by size, texts by letters, and values of several types by type first."""
    return ("number" if isinstance(value, int | float) else type(value).__name__, value)


def synthetic(name: str) -> Table:
    """One of the made-up tables: always the same."""
    sizes = _SIZES[name]
    random = np.random.default_rng([201, list(_SIZES).index(name)])
    axes = np.meshgrid(*[np.arange(size) for size, _ in sizes], indexing="ij")
    values = np.stack([axis.reshape(-1) for axis in axes], axis=1)
    capacity = [_capacity(size, is_ordered, random) for size, is_ordered in sizes]
    cost = sum(0.5 * capacity[k][values[:, k]] for k in range(len(sizes)))
    error = _error(values, sizes, capacity, random)
    if name == "plateaus":
        fails = ((values[:, 0] == 0) & (values[:, 2] == 0)) | (
            (values[:, 4] == 1) & (values[:, 5] == 0)
        )
        error = np.where(fails, 90.0, np.round(error))
    return Table(
        name=name,
        knobs=tuple(f"k{k}" for k in range(len(sizes))),
        points=[
            tuple(
                int(value) if is_ordered else f"v{value}"
                for value, (_, is_ordered) in zip(row, sizes, strict=True)
            )
            for row in values.tolist()
        ],
        accuracy=100 - error,
        cost=np.exp(cost),
    )


def _capacity(size: int, is_ordered: bool, random: np.random.Generator) -> NDArray[np.float64]:
    """What each value of a knob costs; it makes the network better too."""
    drawn = random.gamma(2, 1, size)
    return np.sort(drawn) if is_ordered else drawn


def _error(
    values: NDArray[np.int64],
    sizes: Sequence[tuple[int, bool]],
    capacity: Sequence[NDArray[np.float64]],
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Percent: from the capacity of every knob, from pairs that do not go together, and noise."""
    raw = np.zeros(len(values))
    for k, (size, is_ordered) in enumerate(sizes):
        gain = -capacity[k] * random.uniform(0.3, 1.2)
        raw += (gain + (0 if is_ordered else random.normal(0, 0.5, size)))[values[:, k]]
        for j in range(k):
            raw += _pair(values[:, j], values[:, k], sizes[j], sizes[k], random)
    raw = (raw - raw.min()) / raw.std()
    return np.minimum(4 + 3 * raw**1.3 + random.normal(0, 0.2, len(values)), 90)


def _pair(
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    first: tuple[int, bool],
    second: tuple[int, bool],
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Numbers want to be alike; other pairs have an effect of their own."""
    if first[1] and second[1]:
        return random.uniform(0, 1) * np.abs(one / first[0] - other / second[0])
    return random.normal(0, 0.5, (first[0], second[0]))[one, other]


def _csv(path: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    _check(path, names, rows[0].keys() if rows else ())
    return {name: [_read(row[name]) for row in rows] for name in names}


def _read(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _parquet(path: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    # Of the development group: only benchmarks read such files.
    from pyarrow import parquet

    _check(path, names, parquet.read_schema(path).names)
    return parquet.read_table(path, columns=list(names)).to_pydict()


def _check(path: Path, names: Sequence[str], there: Any) -> None:
    missing = [name for name in names if name not in there]
    if missing:
        raise SystemExit(f"{path} has no columns {missing}: expected some of {list(there)}")
