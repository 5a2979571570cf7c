"""A table that fits: columns for which a terminal has no room are left out, and that is said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

_GAP = 2
"""Spaces between two columns."""
_NARROWEST = 16
"""Characters that a column of sentences needs at least; it wraps."""


class FittedTable:
    """Plain rows under headings; of the shown columns the widest is the one that wraps.

    Names that start with ``>`` are aligned to the right. The columns in ``spare`` go first, in this
    order, then the others from right to left, the widest last of all and the first never.
    """

    def __init__(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, spare: Sequence[str] = ()
    ) -> None:
        self._names = [column.removeprefix(">") for column in columns]
        self._is_right = [column.startswith(">") for column in columns]
        self._rows = [tuple(map(Text.from_markup, row)) for row in rows]
        self._widths = [self._width(index) for index in range(len(columns))]
        self._spare = [self._names.index(name) for name in spare if name in self._names]

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Show the columns that fit, and the names of the others."""
        kept = self._kept(options.max_width)
        yield self._table(kept)
        left_out = [name for index, name in enumerate(self._names) if index not in kept]
        if left_out:
            words = f"not shown for want of room: {', '.join(left_out)}; --json has all of it"
            yield Text(words, style="dim")

    def _table(self, kept: Sequence[int]) -> Table:
        made = Table(box=None, pad_edge=False, header_style="bold")
        for index in kept:
            justify = "right" if self._is_right[index] else "left"
            wraps = index == self._widest(kept)
            made.add_column(
                Text(self._names[index]), justify=justify, no_wrap=not wraps, overflow="fold"
            )
        for row in self._rows:
            made.add_row(*(row[index] for index in kept))
        return made

    def _kept(self, room: int) -> list[int]:
        kept = list(range(len(self._names)))
        widest = self._widest(kept)
        others = [one for one in reversed(kept) if one not in (0, widest, *self._spare)]
        for index in dict.fromkeys([*self._spare, *others, widest]):
            if self._needed(kept) <= room or index == 0:
                break
            kept.remove(index)
        return kept

    def _widest(self, kept: Sequence[int]) -> int:
        return max(kept, key=self._widths.__getitem__)

    def _needed(self, kept: Sequence[int]) -> int:
        widest = self._widths[self._widest(kept)]
        widths = sum(self._widths[index] for index in kept) - widest + min(widest, _NARROWEST)
        return widths + _GAP * (len(kept) - 1)

    def _width(self, index: int) -> int:
        cells = (row[index].cell_len for row in self._rows)
        return max(Text(self._names[index]).cell_len, *cells, 0)
