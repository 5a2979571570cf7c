"""A tag for every word of a sentence, as datasets keep them in ``y_<split>``. Torch-free.

Legend: N sentences, F ids of a word, L words of the longest, K tags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from compress.tasks.formats import npz
from compress.tasks.formats.holdout import hold_out
from compress.tasks.formats.targets import (
    TargetForm,
    Targets,
    TargetSummary,
    called,
    count_classes,
    one_class,
)
from compress.values.errors import InvalidData
from compress.values.measurement import MAX_CLASSES, Split
from compress.values.shown import some

PADDED: Final = -100
"""The tag of a place behind the last word."""
MAX_TAGS = 2**26
"""Of one split: all of them are in memory at once."""


class TagTargets(TargetForm):
    """Tags ``(N, L)``: integers from 0 where there is a word, -100 where there is none."""

    def read(self, archive: npz.Archive, split: Split) -> NDArray[np.int64]:
        """Return the tags. Raises InvalidData, with row and column, unless words have tags."""
        given, words = archive.arrays[f"y_{split}"], archive.arrays[f"x_{split}"]
        shape = (words.shape[0], words.shape[-1])
        if given.dtype.kind != "i" or given.shape != shape or len(words.shape) < 2:
            raise InvalidData(
                f"{given.name} must hold a tag for each id of {words.name}, signed integers of "
                f"shape {shape}, got {given.dtype} of shape {given.shape}"
            )
        if shape[0] * shape[1] > MAX_TAGS:
            raise InvalidData(
                f"{given.name} has {shape[0] * shape[1]:,} places, at most {MAX_TAGS:,} are "
                "taken: send shorter or fewer sentences"
            )
        tags_NL = archive.read(given.name).astype(np.int64)
        _check_values(given.name, tags_NL)
        begin = 0
        for ids_B in archive.rows(words.name):
            is_word_BL = ids_B != 0 if ids_B.ndim == 2 else (ids_B != 0).any(axis=1)
            _check_places(given.name, tags_NL[begin : begin + len(ids_B)], is_word_BL, begin)
            begin += len(ids_B)
        return tags_NL

    def summary(self, targets: Targets, used: Targets, names: Sequence[str]) -> TargetSummary:
        """Count the words of each tag."""
        num_tags = count_classes(targets, names)
        counts: dict[Split, tuple[int, ...]] = {
            split: tuple(np.bincount(tags[tags >= 0], minlength=num_tags).tolist())
            for split, tags in used.items()
        }
        said = (*self._absent(counts, names), *self.few(used))
        return TargetSummary(num_classes=num_tags, class_counts=counts, warnings=said)

    def halves(
        self, targets: NDArray[Any], names: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Hold out a fifth of the sentences that hold more than the most frequent tag, and of both.

        So entities are in both halves in the same measure.
        """
        known = targets[targets >= 0]
        most = np.bincount(known).argmax() if len(known) else 0
        holds_more_N = ((targets != most) & (targets >= 0)).any(axis=1)
        return hold_out(holds_more_N.astype(np.int64), 2)

    def _absent(self, counts: Mapping[Split, tuple[int, ...]], names: Sequence[str]) -> list[str]:
        found = []
        for split, count in counts.items():
            absent = [called(tag, names) for tag, number in enumerate(count) if number == 0]
            if len(absent) == len(count) - 1:
                found.append(one_class(split, count, names, examples="words"))
            elif absent:
                found.append(f"{split} has no word with the tag {some(absent)}")
        return found


def _check_values(name: str, tags_NL: NDArray[np.int64]) -> None:
    wrong = np.argwhere((tags_NL != PADDED) & ((tags_NL < 0) | (tags_NL >= MAX_CLASSES)))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise InvalidData(
            f"{name} must hold tags from 0 to {MAX_CLASSES - 1}, and {PADDED} where x is padded, "
            f"got {tags_NL[row, column]} in row {row}, column {column}"
        )


def _check_places(
    name: str, tags_BL: NDArray[np.int64], is_word_BL: NDArray[np.bool_], begin: int
) -> None:
    wrong = np.argwhere((tags_BL != PADDED) != is_word_BL)
    if len(wrong):
        row, column = wrong[0].tolist()
        here = f"row {begin + row}, column {column}"
        if is_word_BL[row, column]:
            raise InvalidData(f"{name} has no tag ({PADDED}) in {here}, where x has a word")
        raise InvalidData(
            f"{name} has the tag {tags_BL[row, column]} in {here}, where x has no word (0): write "
            f"{PADDED} there"
        )
