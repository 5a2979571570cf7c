"""What people call the arrays of a dataset. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from compress.tasks.inspection import CLASS_NAMES
from compress.values.errors import InvalidData
from compress.values.measurement import SPLITS, Split

Axis = Literal["x", "y"]
_AXES: Mapping[str, Axis] = {
    **dict.fromkeys(("x", "image", "images", "data", "inputs", "pictures"), "x"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets"), "y"),
}
SPLITS_BY_NAME: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_CLASSES = frozenset({CLASS_NAMES, "classes", "label_names", "target_names", "categories"})
_LONGEST = 40
_EXPECTED = (
    "x_train and y_train, x_validation and y_validation, x_test and y_test (x may be images, y may "
    "be labels, validation may be val), and class_names"
)


class ArrayRole(NamedTuple):
    """What an array is: images (x) or labels (y) of a split."""

    axis: Axis
    split: Split


class _Names:
    """The names that are understood; a container for ``npz.open_archive``."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in _CLASSES or role(name) is not None)

    def __str__(self) -> str:
        return _EXPECTED


NAMES: Final = _Names()


class NamedArrays(NamedTuple):
    """The names of a file's arrays by what they are."""

    images: dict[Split, str]
    labels: dict[Split, str]
    class_names: str | None


def role(name: str) -> ArrayRole | None:
    """Return what an array of this name is, as in ``X_train``, ``val_labels`` or ``images``."""
    if len(name) > _LONGEST:
        return None
    words = re.split(r"[_\-. ]+", name.lower())
    if len(words) == 1:
        return None if words[0] not in _AXES else ArrayRole(_AXES[words[0]], "train")
    for axis, split in (words, words[::-1]) if len(words) == 2 else ():
        if axis in _AXES and split in SPLITS_BY_NAME:
            return ArrayRole(_AXES[axis], SPLITS_BY_NAME[split])
    return None


def assigned(names: Iterable[str], *, are_answered: bool = True) -> NamedArrays:
    """Return which array is what; ``are_answered`` says that examples have labels.

    Raises InvalidData if two are the same, one of a pair is missing, or there is no train.
    """
    roles: dict[ArrayRole, str] = {}
    classes: str | None = None
    for name in names:
        found = role(name)
        twin = classes if found is None else roles.get(found)
        if twin is not None:
            raise InvalidData(f"{twin!r} and {name!r} mean the same: leave one of them out")
        if found is None:
            classes = name
        else:
            roles[found] = name
    _check_pairs(roles, ("x", "y") if are_answered else ("x",))
    return NamedArrays(_of_axis("x", roles), _of_axis("y", roles), classes)


def _of_axis(axis: Axis, roles: Mapping[ArrayRole, str]) -> dict[Split, str]:
    return {
        split: roles[ArrayRole(axis, split)] for split in SPLITS if ArrayRole(axis, split) in roles
    }


def _check_pairs(roles: Mapping[ArrayRole, str], axes: tuple[Axis, ...]) -> None:
    for split in SPLITS:
        missing = [ArrayRole(axis, split) for axis in axes if ArrayRole(axis, split) not in roles]
        if missing and (split == "train" or len(missing) == 1 < len(axes)):
            axis, _ = missing[0]
            raise InvalidData(
                f"array '{axis}_{split}' is missing, the file has {sorted(roles.values())}"
            )


def described(names: Iterable[str]) -> str:
    """Say what arrays of these names are."""
    found = [(name, role(name)) for name in names]
    return ", ".join(
        CLASS_NAMES if each is None else f"{each.axis}_{each.split}" for _, each in found
    )
