"""What people call the arrays of a dataset of ids. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from compress.tasks.conversion.array_names import SPLITS_BY_NAME
from compress.tasks.formats import word_arrays
from compress.tasks.formats.id_form import PERTURBED
from compress.tasks.inspection import CLASS_NAMES
from compress.values.errors import InvalidData
from compress.values.measurement import SPLITS

Axis: TypeAlias = Literal["x", "a", "b", "y"]
_AXES: Mapping[str, Axis] = {
    **dict.fromkeys(("x", "ids", "texts", "tokens", "data", "inputs"), "x"),
    **dict.fromkeys(("a", "premise", "left"), "a"),
    **dict.fromkeys(("b", "hypothesis", "right"), "b"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets", "tag", "tags"), "y"),
}
_SPLITS: Mapping[str, str] = {**SPLITS_BY_NAME, PERTURBED: PERTURBED}
_CLASSES = frozenset({CLASS_NAMES, "classes", "label_names", "tag_names", "categories"})
_LONGEST = 40
_EXPECTED = (
    "x_train and y_train, x_validation and y_validation, x_test and y_test (x may be ids or "
    "input_ids, of pairs a and b; y may be labels or tags), class_names and words"
)


class IdRole(NamedTuple):
    """What an array is: ids (x), one side of pairs (a, b) or targets (y) of a split."""

    axis: Axis
    split: str


@dataclass(frozen=True, kw_only=True)
class NamedIds:
    """The names of a file's arrays by what they are: ``sides`` are one array, or two of a pair."""

    sides: Mapping[str, tuple[str, ...]]
    targets: Mapping[str, str]
    class_names: str | None


class _Names:
    """The names that are understood; a container for ``npz.open_archive``."""

    def __contains__(self, name: object) -> bool:
        known = _CLASSES | word_arrays.NAMES
        return isinstance(name, str) and (name in known or role(name) is not None)

    def __str__(self) -> str:
        return _EXPECTED


NAMES: Final = _Names()


def role(name: str) -> IdRole | None:
    """Return what an array of this name is, as in ``ids_train``, ``val_labels`` or ``a_test``."""
    if len(name) > _LONGEST:
        return None
    words = re.split(r"[_\-. ]+", name.lower().replace("input_ids", "ids"))
    for axis, split in (words, words[::-1]) if len(words) == 2 else ():
        if axis in _AXES and split in _SPLITS:
            return IdRole(_AXES[axis], _SPLITS[split])
    return None


def assigned(names: Iterable[str]) -> NamedIds:
    """Return which array is what.

    Raises InvalidData if two are the same, one of a split is missing, or there is no train.
    """
    roles: dict[IdRole | None, str] = {}
    for name in names:
        if name in word_arrays.NAMES:
            continue
        found = role(name)
        if found in roles:
            raise InvalidData(f"{roles[found]!r} and {name!r} mean the same: leave one of them out")
        roles[found] = name
    sides, targets = dict[str, tuple[str, ...]](), dict[str, str]()
    for split in (*SPLITS, PERTURBED):
        if split == "train" or any(known and known.split == split for known in roles):
            sides[split], targets[split] = _of_split(roles, split)
    return NamedIds(sides=sides, targets=targets, class_names=roles.get(None))


def _of_split(roles: Mapping[IdRole | None, str], split: str) -> tuple[tuple[str, ...], str]:
    given = {axis: roles.get(IdRole(axis, split)) for axis in ("x", "a", "b", "y")}
    is_pair = given["a"] is not None or given["b"] is not None
    needed = ("a", "b", "y") if is_pair else ("x", "y")
    missing = [axis for axis in needed if given[axis] is None]
    if missing:
        raise InvalidData(
            f"array '{missing[0]}_{split}' is missing, the file has {sorted(roles.values())}"
        )
    if is_pair and given["x"] is not None:
        raise InvalidData(f"{given['x']!r} and {given['a']!r} are both the ids of {split}")
    names = [name for axis in needed if (name := given[axis]) is not None]
    return tuple(names[:-1]), names[-1]
