"""Thousands of candidates in columns, for the functions that count their costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, overload

ABSENT: Final = object()
"""Stands for the value of a knob that a candidate lacks."""


def rows(
    candidates: Sequence[Mapping[str, Any]], names: Sequence[str], otherwise: Sequence[Any]
) -> Iterator[tuple[Any, ...]]:
    """Yield a tuple of the values of ``names`` per candidate, ``otherwise`` for absent ones."""
    if isinstance(candidates, Points):
        return candidates.rows(names, otherwise)
    wanted = list(zip(names, otherwise, strict=True))
    return (tuple(params.get(name, value) for name, value in wanted) for params in candidates)


class Points(Sequence[Mapping[str, Any]]):
    """The candidates of one space, as a sequence of mappings from knob to value.

    Absent knobs are left out of a mapping. A mapping per candidate is slow to make, and counting
    costs needs only some of the knobs: ``rows`` reads just those. The function ``rows`` takes any
    sequence.
    """

    def __init__(self, size: int, columns: Mapping[str, Callable[[], Sequence[Any]]]) -> None:
        """Hold ``size`` candidates; each knob's column is made when it is first asked for."""
        self._size = size
        self._makers = columns
        self._made: dict[str, Sequence[Any]] = {}

    def rows(self, names: Sequence[str], otherwise: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """Yield a tuple of the values of ``names`` per candidate, ``otherwise`` for absent ones."""
        columns = [self._column(name, value) for name, value in zip(names, otherwise, strict=True)]
        return zip(*columns, strict=True) if columns else iter([()] * self._size)

    def __len__(self) -> int:
        """Return the number of candidates."""
        return self._size

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        """Return one candidate, or a list of some."""
        if isinstance(index, slice):
            return [self[i] for i in range(self._size)[index]]
        row = range(self._size)[index]
        values = ((name, self._values(name)[row]) for name in self._makers)
        return {name: value for name, value in values if value is not ABSENT}

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Iterate over all candidates; this is faster than indexing each."""
        names = list(self._makers)
        for row in self.rows(names, [ABSENT] * len(names)):
            found = dict(zip(names, row, strict=True))
            if ABSENT in row:
                found = {name: value for name, value in found.items() if value is not ABSENT}
            yield found

    def _values(self, name: str) -> Sequence[Any]:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def _column(self, name: str, otherwise: Any) -> Sequence[Any]:
        if name not in self._makers:
            return [otherwise] * self._size
        return [otherwise if value is ABSENT else value for value in self._values(name)]
