"""What the examples of a task are answered with, as datasets keep it in ``y_<split>``. Torch-free.

Legend: N examples, K classes or labels, T numbers to predict.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from compress.tasks.formats import npz
from compress.tasks.formats.holdout import hold_out
from compress.tasks.names import EXAMPLES, TaskName
from compress.values.errors import InvalidData
from compress.values.measurement import MAX_CLASSES, SPLITS, Split
from compress.values.shown import some

Targets: TypeAlias = Mapping[Split, NDArray[Any]]
MAX_NUMBERS = 1024
"""Numbers that are predicted for one example."""
_IMBALANCE = 10
_FEW_EXAMPLES = 100
_LARGEST = 1e15


@dataclass(frozen=True, kw_only=True)
class TargetSummary:
    """What is known of the targets of a dataset.

    ``num_classes`` is the width of a network's answer; ``class_counts`` is empty without classes.
    """

    num_classes: int
    class_counts: Mapping[Split, tuple[int, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class TargetForm(ABC):
    """What the targets of a task look like."""

    are_needed: ClassVar[bool] = True

    def __init__(self, task: TaskName) -> None:
        self.task: TaskName = task

    @property
    def examples(self) -> str:
        """What people call the examples."""
        return EXAMPLES[self.task]

    @abstractmethod
    def read(self, archive: npz.Archive, split: Split) -> NDArray[Any]:
        """Return the targets of a split. Raises InvalidData."""

    @abstractmethod
    def summary(self, targets: Targets, used: Targets, names: Sequence[str]) -> TargetSummary:
        """Say what targets hold: those of the file, and with the splits as they will be used.

        Raises InvalidData for targets that no network can learn.
        """

    def halves(
        self, targets: NDArray[Any], names: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the places of training examples that stay, and of those held out."""
        return hold_out(np.zeros(len(targets), np.int64), 1)

    def used(self, targets: Targets, names: Sequence[str]) -> Targets:
        """Return the targets of all splits, with validation held out of train if need be."""
        if "validation" in targets:
            return targets
        train, validation = self.halves(targets["train"], names)
        if len(validation) == 0 or len(train) < 2:
            raise InvalidData(
                f"x_train has {len(targets['train'])} {self.examples}, too few to hold out a "
                f"validation split: give x_validation{' and y_validation' * self.are_needed}"
            )
        found = {
            **targets,
            "train": targets["train"][train],
            "validation": targets["train"][validation],
        }
        return {split: found[split] for split in SPLITS if split in found}

    def few(self, used: Targets) -> list[str]:
        """Warn if chance alone moves figures on validation."""
        total = len(used["validation"])
        if total >= _FEW_EXAMPLES:
            return []
        one = self.examples.removesuffix("s")
        return [f"validation has {total} {self.examples}: one {one} is {100 / total:.1f} points"]


class ClassTargets(TargetForm):
    """One class for each example: integers ``(N,)`` from 0."""

    def read(self, archive: npz.Archive, split: Split) -> NDArray[np.int64]:
        """Return the classes."""
        header, examples = archive.arrays[f"y_{split}"], archive.arrays[f"x_{split}"].shape[0]
        if header.dtype.kind not in "iu":
            raise InvalidData(f"{header.name} must hold integers, got {header.dtype}")
        if header.shape != (examples,):
            raise InvalidData(f"{header.name} must have shape ({examples},), got {header.shape}")
        labels_N = archive.read(header.name)
        low, high = int(labels_N.min()), int(labels_N.max())
        if low < 0 or high >= MAX_CLASSES:
            raise InvalidData(
                f"{header.name} must hold classes from 0 to {MAX_CLASSES - 1}, got {low} to {high}"
            )
        return labels_N.astype(np.int64)

    def summary(self, targets: Targets, used: Targets, names: Sequence[str]) -> TargetSummary:
        """Count the examples of each class."""
        num_classes = count_classes(targets, names)
        counts: dict[Split, tuple[int, ...]] = {
            split: tuple(np.bincount(labels_N, minlength=num_classes).tolist())
            for split, labels_N in used.items()
        }
        said = (*self._said(counts, names), *self.few(used))
        return TargetSummary(num_classes=num_classes, class_counts=counts, warnings=said)

    def halves(
        self, targets: NDArray[Any], names: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Hold out a fifth of every class."""
        return hold_out(targets, len(names) or int(targets.max()) + 1)

    def _said(self, counts: Mapping[Split, tuple[int, ...]], names: Sequence[str]) -> list[str]:
        found = []
        for split, count in counts.items():
            absent = [called(label, names) for label, number in enumerate(count) if number == 0]
            if len(absent) == len(count) - 1:
                found.append(one_class(split, count, names, examples=self.examples))
            elif absent:
                one = self.examples.removesuffix("s")
                found.append(f"{split} has no {one} of class {some(absent)}")
        least, most = max(1, min(counts["train"])), max(counts["train"])
        if most > _IMBALANCE * least:
            found.append(f"train is unbalanced: {least} to {most} {self.examples} per class")
        return found


class LabelTargets(TargetForm):
    """Labels that hold or not: 0 or 1 for each of K, ``(N, K)``."""

    def read(self, archive: npz.Archive, split: Split) -> NDArray[np.uint8]:
        """Return the labels as 0 and 1."""
        header, examples = archive.arrays[f"y_{split}"], archive.arrays[f"x_{split}"].shape[0]
        if len(header.shape) != 2 or header.shape[0] != examples or header.dtype.kind not in "iub":
            raise InvalidData(
                f"{header.name} must hold 0 or 1 for each label, integers of shape ({examples}, "
                f"K), got {header.dtype} of shape {header.shape}"
            )
        if not 1 <= header.shape[1] <= MAX_CLASSES:
            raise InvalidData(
                f"{header.name} must have 1 to {MAX_CLASSES} labels, got {header.shape[1]}"
            )
        labels_NK = archive.read(header.name)
        wrong = np.argwhere((labels_NK != 0) & (labels_NK != 1))
        if len(wrong):
            row, column = wrong[0].tolist()
            raise InvalidData(
                f"{header.name} must hold 0 or 1, got {labels_NK[row, column]} in row {row}, "
                f"column {column}"
            )
        return labels_NK.astype(np.uint8)

    def summary(self, targets: Targets, used: Targets, names: Sequence[str]) -> TargetSummary:
        """Count the examples of each label."""
        widths = {labels_NK.shape[1] for labels_NK in targets.values()}
        if len(widths) > 1 or (names and widths != {len(names)}):
            given = f" and {len(names)} class_names" if names else ""
            raise InvalidData(
                f"all splits must have the same labels, got {sorted(widths)} columns{given}"
            )
        if not used["train"].any():
            raise InvalidData("no label holds for any example of y_train: nothing can be learned")
        said = [text for split, y in used.items() for text in self._same(split, y, names)]
        return TargetSummary(num_classes=widths.pop(), warnings=(*said, *self.few(used)))

    def _same(self, split: Split, y_NK: NDArray[Any], names: Sequence[str]) -> list[str]:
        share_K = y_NK.mean(axis=0)
        same = [called(k, names) for k, share in enumerate(share_K.tolist()) if share in (0.0, 1.0)]
        plural = f"labels {some(same)} hold" if len(same) > 1 else f"label {some(same)} holds"
        return [f"{plural} for all or none of {split}: figures say nothing of it"] if same else []


class NumberTargets(TargetForm):
    """Numbers to predict: float32 ``(N,)`` or ``(N, T)``."""

    def read(self, archive: npz.Archive, split: Split) -> NDArray[np.float32]:
        """Return the numbers ``(N, T)``."""
        header, examples = archive.arrays[f"y_{split}"], archive.arrays[f"x_{split}"].shape[0]
        if header.dtype.kind not in "fiu" or len(header.shape) not in (1, 2):
            raise InvalidData(
                f"{header.name} must hold numbers of shape ({examples},) or ({examples}, T), got "
                f"{header.dtype} of shape {header.shape}"
            )
        if header.shape[0] != examples or not 1 <= (*header.shape, 1)[1] <= MAX_NUMBERS:
            raise InvalidData(
                f"{header.name} must have a row for each of {examples} {self.examples} and 1 to "
                f"{MAX_NUMBERS} numbers in it, got shape {header.shape}"
            )
        y_NT = archive.read(header.name).reshape(examples, -1).astype(np.float64)
        wrong = np.argwhere(~np.isfinite(y_NT) | (np.abs(y_NT) > _LARGEST))
        if len(wrong):
            row, column = wrong[0].tolist()
            raise InvalidData(
                f"{header.name} must hold finite numbers within {_LARGEST:g}, got "
                f"{y_NT[row, column]} in row {row}, column {column}"
            )
        return y_NT.astype(np.float32)

    def summary(self, targets: Targets, used: Targets, names: Sequence[str]) -> TargetSummary:
        """Say which targets are constant. Raises InvalidData for one that is so in training."""
        widths = {y_NT.shape[1] for y_NT in targets.values()}
        if len(widths) > 1:
            raise InvalidData(f"all splits must have the same targets, got {sorted(widths)}")
        said: list[str] = []
        for split, y_NT in used.items():
            same = [str(t) for t in range(y_NT.shape[1]) if (y_NT[:, t] == y_NT[0, t]).all()]
            if same and split == "train":
                raise InvalidData(
                    f"y_train is {y_NT[0, int(same[0])]:g} in every row of column {same[0]}: there "
                    "is nothing to learn; leave the column out, or give other examples"
                )
            if same:
                said.append(
                    f"y_{split} is the same in every row of column {some(same)}: r2 says nothing "
                    "there"
                )
        return TargetSummary(num_classes=widths.pop(), warnings=(*said, *self.few(used)))


class NoTargets(TargetForm):
    """Nothing: answers are compared with those of the baseline."""

    are_needed = False

    def read(self, archive: npz.Archive, split: Split) -> NDArray[np.uint8]:
        """Return a row of nothing for each example."""
        return np.empty((archive.arrays[f"x_{split}"].shape[0], 0), np.uint8)

    def summary(self, targets: Targets, used: Targets, names: Sequence[str]) -> TargetSummary:
        """Say nothing of targets: there are none."""
        return TargetSummary(num_classes=0, warnings=(*self.few(used),))


def count_classes(labels: Targets, names: Sequence[str]) -> int:
    """Return how many classes there are. Raises InvalidData for one, and for an unknown one."""
    if names:
        high = max(int(labels_N.max()) for labels_N in labels.values())
        if high >= len(names) or len(names) < 2:
            raise InvalidData(
                f"class_names names {len(names)} classes, expected at least {max(high + 1, 2)}"
            )
        return len(names)
    num_classes = int(labels["train"].max()) + 1
    if num_classes < 2:
        raise InvalidData("y_train must hold at least 2 classes (0 and 1), got only 0")
    for split, labels_N in labels.items():
        if labels_N.max() >= num_classes:
            raise InvalidData(
                f"y_{split} holds class {labels_N.max()}, y_train only 0 to {num_classes - 1}"
            )
    return num_classes


def one_class(
    split: Split, count: Sequence[int], names: Sequence[str] = (), *, examples: str = "images"
) -> str:
    """Return the warning about a split that holds examples of only one class."""
    label = max(range(len(count)), key=lambda each: count[each])
    return (
        f"{split} holds only class {called(label, names)}: always answering {label} is right on "
        f"all of its {examples}, so accuracy there says nothing; give it {examples} of every class"
    )


def called(label: int, names: Sequence[str]) -> str:
    """Return a class's number, and its name if that is another."""
    named = names[label : label + 1]
    return f"{label} ({named[0]})" if named and named[0] != str(label) else str(label)
