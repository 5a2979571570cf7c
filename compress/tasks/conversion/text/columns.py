"""Which columns of a table hold the texts, the labels and the split. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compress.tasks.names import TaskName
from compress.tasks.reading import DatasetReading
from compress.values.errors import InvalidData
from compress.values.shown import some

SPLIT = "split"
"""The name of the column that says train, validation or test of every row, if there is one."""
_TARGETS = ("target", "label", "labels", "class", "category", "y")
_TAGS = ("tags", "ner_tags", "pos_tags", "tag", *_TARGETS)
_TEXTS = tuple(
    (name,) for name in ("text", "sentence", "message", "content", "document", "review", "body")
)
_TOKENS = tuple((name,) for name in ("tokens", "words", "token", "sentence", "text"))
_PAIRS = (
    ("premise", "hypothesis"),
    ("text_a", "text_b"),
    ("sentence_a", "sentence_b"),
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("question1", "question2"),
    ("question", "answer"),
    ("query", "document"),
    ("anchor", "positive"),
    ("a", "b"),
)
_KNOWN: dict[TaskName, tuple[tuple[str, ...], ...]] = {
    "text_classification": _TEXTS,
    "text_matching": _PAIRS,
    "sequence_labelling": _TOKENS,
    "unlabelled": _TEXTS,
}


@dataclass(frozen=True, kw_only=True)
class TextColumns:
    """Which column is what, by their places; ``sides`` are one text, or both of a pair.

    ``target`` is None where texts have no labels.
    """

    sides: tuple[int, ...]
    target: int | None
    split: int | None
    notes: tuple[str, ...]

    @property
    def places(self) -> frozenset[int]:
        """Those of all columns that are read."""
        others = (place for place in (self.target, self.split) if place is not None)
        return frozenset((*self.sides, *others))


def assigned(names: Sequence[str], reading: DatasetReading) -> TextColumns:
    """Decide which column is what. Raises InvalidData naming the columns there are."""
    lower = [name.lower() for name in names]
    sides = reading.features or _usual(names, lower, _KNOWN[reading.task])
    if sides is None:
        many = "two columns hold the texts" if reading.task == "text_matching" else "column is text"
        raise InvalidData(f"which {many}? Say features: the table has {some(list(names))}")
    target = reading.target or _target(names, lower, reading.task, sides)
    for name in sides if target is None else (target, *sides):
        if name not in names:
            raise InvalidData(f"the table has no column {name!r}: it has {some(list(names))}")
    if target in sides or len(set(sides)) < len(sides):
        raise InvalidData(
            f"features must name columns once each, and not the target {target!r}, got "
            f"{some(list(sides))}"
        )
    is_split = SPLIT in names and SPLIT not in (target, *sides)
    return TextColumns(
        sides=tuple(names.index(name) for name in sides),
        target=None if target is None else names.index(target),
        split=names.index(SPLIT) if is_split else None,
        notes=(
            f"texts are those of {some(list(sides))}"
            + ("" if target is None else f", labels those of {target!r}"),
        ),
    )


def _usual(
    names: Sequence[str], lower: Sequence[str], known: Sequence[tuple[str, ...]]
) -> tuple[str, ...] | None:
    for sides in known:
        if all(lower.count(side) == 1 for side in sides):
            return tuple(names[lower.index(side)] for side in sides)
    return None


def _target(
    names: Sequence[str], lower: Sequence[str], task: TaskName, sides: Sequence[str]
) -> str | None:
    if task == "unlabelled":
        return None
    usual = _TAGS if task == "sequence_labelling" else _TARGETS
    found = [name for name, low in zip(names, lower, strict=True) if low in usual]
    found = [name for name in found if name not in sides]
    if len(found) != 1:
        raise InvalidData(
            f"which column holds the labels? Say target: the table has {some(list(names))}"
        )
    return found[0]
