"""Rows of ids of words as datasets keep them: texts, pairs of texts, sentences. Torch-free.

0 pads, at the right, and 1 is the unknown word. Networks take them as they are.

Legend: N examples, P sides of a pair or ids of a word, L ids of the longest text, V ids.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from compress.network.signature import ExampleShape
from compress.tasks.formats import npz, tokenising, word_arrays
from compress.tasks.formats.example_forms import MAX_VALUES, ArrayForm, ExampleForm, Ranges
from compress.tasks.formats.words import MAX_LENGTH, TextInfo, Words
from compress.tasks.names import TaskName
from compress.values.errors import InvalidData
from compress.values.measurement import Split

PERTURBED: Final = "perturbed"
"""What ``x_`` and ``y_`` of the perturbed copy of validation end with."""
MAX_ID: Final = 2**24 - 1
"""Up to here float32, which networks are given, tells whole numbers apart."""
MAX_FEATURES = 16
"""Ids of one word."""
Halves = tuple[NDArray[np.int64], NDArray[np.int64]]
_MANY_UNKNOWN = 0.25


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """What is counted in every row of a split: words, and unknown ones among them."""

    lengths_N: NDArray[np.int64]
    unknown_N: NDArray[np.int64]
    largest: tuple[int, ...]
    num_gaps: int = 0

    def rows(self, chosen: NDArray[np.int64]) -> RowCounts:
        """Return those of some of the rows."""
        return RowCounts(
            lengths_N=self.lengths_N[chosen],
            unknown_N=self.unknown_N[chosen],
            largest=self.largest,
        )


@dataclass(frozen=True)
class IdForm(ExampleForm):
    """Ids ``(N, L)``; of pairs ``(N, 2, L)``; of sentences with parts of words ``(N, P, L)``."""

    task: TaskName
    may_count = True

    def shape(self, header: npz.ArrayHeader) -> ExampleShape:
        """Return ``(L,)`` or ``(P, L)``. Raises InvalidData."""
        if header.dtype != np.dtype("<i4"):
            raise InvalidData(f"{header.name} must hold ids, int32, got {header.dtype}")
        if not self._is_possible(header.shape):
            raise InvalidData(
                f"{header.name} must hold ids of shape {self._expected}, 0 where a text is "
                f"shorter, got {header.shape}"
            )
        self._check_count(header)
        rest = header.shape[1:]
        if not 1 <= rest[-1] <= MAX_LENGTH or math.prod(rest) > MAX_VALUES:
            raise InvalidData(
                f"{header.name} must have 1 to {MAX_LENGTH:,} ids for one text, got {rest[-1]:,}"
            )
        return rest

    def channels(self, shape: tuple[int, ...]) -> int:
        """Count one: all ids are of one kind."""
        return 1

    def named(self, channel: int, shape: tuple[int, ...]) -> str:
        """Name the array."""
        return "the array"

    def where(self, shape: tuple[int, ...], position: int) -> str:
        """Name the row and the place in it."""
        row, *place = (int(each) for each in np.unravel_index(position, shape))
        if len(place) == 1:
            return f"in row {row}, column {place[0]}"
        return f"in row {row}, {self._part(place[0])}, column {place[1]}"

    def constant(self, ranges: Ranges) -> list[str]:
        """Raise InvalidData if every text is of the same single word."""
        if all(low == high for low, high in ranges):
            raise InvalidData("all ids of x_train are the same, so there is nothing to learn")
        return []

    def looked_at(
        self, archive: npz.Archive, present: Sequence[Split], halves: Halves | None
    ) -> tuple[TextInfo | None, list[str]]:
        """Check every row, and say what its ids are, with warnings.

        ``halves`` are the rows of train that stay, and those that become validation. Raises
        InvalidData with row and column.
        """
        words = word_arrays.read(archive)
        found: dict[str, RowCounts] = {}
        for split in (*present, *_perturbed(archive)):
            found[split] = self._counted(archive, f"x_{split}", words)
        used = _used(found, halves)
        largest = np.max([each.largest for each in found.values()], axis=0)
        tables = () if words is None else words.sizes
        info = TextInfo(
            vocabulary=tables or tuple(int(each) + 1 for each in largest),
            settings=None if words is None else words.settings,
            words_bytes=0 if words is None else words.num_bytes(),
            unknown=_unknown_shares(used) if words is not None and words.tables else {},
            mean_length={split: float(each.lengths_N.mean()) for split, each in used.items()},
            is_perturbed=PERTURBED in found,
        )
        return info, [*_gaps(found, self.examples), *_much_unknown(info)]

    def _counted(self, archive: npz.Archive, name: str, words: Words | None) -> RowCounts:
        most = self._most(archive.arrays[name], words)
        pieces, begin = list[RowCounts](), 0
        for ids_B in archive.rows(name):
            ids_BPL = ids_B if ids_B.ndim == 3 else ids_B[:, None]
            self._check_values(name, ids_BPL, begin, most)
            # The parts of a word are unknown together, or not: its first id tells.
            is_tagged = self.task == "sequence_labelling"
            pieces.append(_row_counts(ids_BPL[:, :1] if is_tagged else ids_BPL, ids_BPL))
            begin += len(ids_B)
        return RowCounts(
            lengths_N=np.concatenate([each.lengths_N for each in pieces]),
            unknown_N=np.concatenate([each.unknown_N for each in pieces]),
            largest=tuple(np.max([each.largest for each in pieces], axis=0).tolist()),
            num_gaps=sum(each.num_gaps for each in pieces),
        )

    def _most(self, header: npz.ArrayHeader, words: Words | None) -> NDArray[np.int64]:
        """Return the largest id that each of the P may have. Raises InvalidData."""
        parts = header.shape[1] if len(header.shape) == 3 else 1
        tables = [] if words is None else [size - 1 for size in words.sizes]
        is_shared = len(tables) <= 1 and self.task != "sequence_labelling"
        if tables and len(tables) != (1 if is_shared else parts):
            raise InvalidData(
                f"{header.name} has {parts} ids for each word in its shape {header.shape}, and the "
                f"file has {len(tables)} lists of words"
            )
        if not tables:
            return np.full(parts, MAX_ID)
        return np.array(tables * parts if is_shared else tables)

    def _check_values(
        self, name: str, ids_BPL: NDArray[Any], begin: int, most_P: NDArray[np.int64]
    ) -> None:
        wrong = np.argwhere((ids_BPL < 0) | (ids_BPL > most_P[:, None]))
        if len(wrong):
            row, part, column = wrong[0].tolist()
            raise InvalidData(
                f"{name} must hold ids from 0 to {most_P[part]:,}, got {ids_BPL[row, part, column]}"
                f" in row {begin + row}, {self._at(part, ids_BPL)}column {column}"
            )
        empty = np.argwhere((ids_BPL == tokenising.PADDING).all(axis=2))
        if len(empty):
            row, part = empty[0].tolist()
            side = self._at(part, ids_BPL).rstrip(", ")
            raise InvalidData(
                f"{name} has no word in row {begin + row}{f', {side}' if side else ''}: leave the "
                f"row out, or write {tokenising.UNKNOWN}, the unknown word"
            )
        if self.task == "sequence_labelling":
            self._check_parts(name, ids_BPL, begin)

    def _check_parts(self, name: str, ids_BPL: NDArray[Any], begin: int) -> None:
        """Raise InvalidData unless all ids of a word are padding, or none is."""
        is_word_BPL = ids_BPL != tokenising.PADDING
        wrong = np.argwhere(is_word_BPL.any(axis=1) != is_word_BPL.all(axis=1))
        if len(wrong):
            row, column = wrong[0].tolist()
            raise InvalidData(
                f"{name} has both padding (0) and ids for one word in row {begin + row}, column "
                f"{column}: {ids_BPL[row, :, column].tolist()}"
            )

    def _at(self, part: int, ids_BPL: NDArray[Any]) -> str:
        return f"{self._part(part)}, " if ids_BPL.shape[1] > 1 else ""

    def _part(self, part: int) -> str:
        return f"side {'ab'[part]}" if self.task == "text_matching" else f"part {part}"

    @property
    def _expected(self) -> str:
        return {
            "text_classification": "(N, L)",
            "text_matching": "(N, 2, L)",
            "unlabelled": "(N, L)",
            "sequence_labelling": f"(N, L), or (N, P, L) with up to {MAX_FEATURES} ids of a word",
        }[self.task]

    def _is_possible(self, shape: tuple[int, ...]) -> bool:
        if len(shape) == 2:
            return self.task != "text_matching"
        if len(shape) != 3 or self.task in ("text_classification", "unlabelled"):
            return False
        return shape[1] == 2 if self.task == "text_matching" else 1 <= shape[1] <= MAX_FEATURES


@dataclass(frozen=True)
class UnlabelledForm(ArrayForm):
    """Arrays of any axes, or rows of ids of words, as int32 tells."""

    task: TaskName = "unlabelled"

    def suited(self, header: npz.ArrayHeader | None) -> ExampleForm:
        """Return the form of ids if they are such."""
        is_of_ids = header is not None and header.dtype == np.dtype("<i4")
        return IdForm(self.task) if is_of_ids else self


def _row_counts(words_BSL: NDArray[Any], ids_BPL: NDArray[Any]) -> RowCounts:
    is_word_BPL = ids_BPL != tokenising.PADDING
    gaps_BPL = is_word_BPL[:, :, 1:] & ~is_word_BPL[:, :, :-1]
    return RowCounts(
        lengths_N=(words_BSL != tokenising.PADDING).sum(axis=(1, 2)),
        unknown_N=(words_BSL == tokenising.UNKNOWN).sum(axis=(1, 2)),
        largest=tuple(ids_BPL.max(axis=(0, 2)).tolist()),
        num_gaps=int(gaps_BPL.any(axis=(1, 2)).sum()),
    )


def _perturbed(archive: npz.Archive) -> tuple[str, ...]:
    return (PERTURBED,) if f"x_{PERTURBED}" in archive.arrays else ()


def _used(found: Mapping[str, RowCounts], halves: Halves | None) -> dict[str, RowCounts]:
    if halves is None:
        return dict(found)
    train, held = (found["train"].rows(half) for half in halves)
    return {**found, "train": train, "validation": held}


def _unknown_shares(used: Mapping[str, RowCounts]) -> dict[str, float]:
    return {
        split: float(each.unknown_N.sum() / max(1, each.lengths_N.sum()))
        for split, each in used.items()
    }


def _gaps(found: Mapping[str, RowCounts], examples: str) -> Iterator[str]:
    for split, each in found.items():
        if each.num_gaps:
            yield (
                f"{each.num_gaps:,} {examples} of {split} have padding (0) before ids: 0 stands "
                "for no word at all; texts are expected to begin at the left"
            )


def _much_unknown(info: TextInfo) -> Iterator[str]:
    for split in ("validation", "test"):
        if (share := info.unknown.get(split, 0.0)) > _MANY_UNKNOWN:
            yield (
                f"{share:.0%} of the words of {split} are unknown: they do not occur in training, "
                "or max_words leaves them out"
            )
