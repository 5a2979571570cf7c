"""The forms of examples as datasets keep them: images, and arrays of any axes. Torch-free.

Legend: N examples, H height, W width, C channels, F columns.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from compress.network.preprocessing import Normalisation
from compress.network.signature import ExampleShape
from compress.tasks.formats import npz
from compress.tasks.formats.statistics import ChannelStatistics
from compress.tasks.formats.words import TextInfo
from compress.tasks.names import EXAMPLES, TaskName
from compress.values import raw_values
from compress.values.errors import InvalidData
from compress.values.measurement import Split
from compress.values.shown import some

MAX_EXAMPLES = 10_000_000
MAX_CHANNELS = 16
SIDES = (4, 1024)
MAX_AXES = 6
MAX_VALUES = 2**24
"""Values of one example."""
Ranges: TypeAlias = Sequence[tuple[float, float]]
"""The least and the largest value of every channel."""


class ExampleForm(ABC):
    """What the examples of a task look like in ``x_<split>``."""

    task: TaskName
    may_count: ClassVar[bool]
    """Whether their values may be ids, so that it matters whether they are whole numbers."""

    @property
    def examples(self) -> str:
        """What people call them."""
        return EXAMPLES[self.task]

    @abstractmethod
    def shape(self, header: npz.ArrayHeader) -> ExampleShape:
        """Return the shape of an example as networks take it. Raises InvalidData."""

    @abstractmethod
    def channels(self, shape: tuple[int, ...]) -> int:
        """Count the channels of an array of such a shape, which have ranges of their own.

        They are the places along its last axis.
        """

    @abstractmethod
    def named(self, channel: int, shape: tuple[int, ...]) -> str:
        """Return what a channel of an array of such a shape is called."""

    @abstractmethod
    def where(self, shape: tuple[int, ...], position: int) -> str:
        """Say where a value is, by its position in an array of such a shape."""

    @abstractmethod
    def constant(self, ranges: Ranges) -> list[str]:
        """Warn about channels that are constant in training.

        Raises InvalidData if all of them are, because there is nothing to learn.
        """

    def proposed(
        self, seen: ChannelStatistics, ranges: Ranges, dtype: np.dtype[np.generic]
    ) -> Normalisation | None:
        """Propose a normalisation by what was seen in training; None if there is none to propose.

        What is no image has none: a network on a table takes columns as it was trained with them.
        """
        return None

    def suited(self, header: npz.ArrayHeader | None) -> ExampleForm:
        """Return the form that such training examples have; most tasks have only one."""
        return self

    def looked_at(
        self,
        archive: npz.Archive,
        present: Sequence[Split],
        halves: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
    ) -> tuple[TextInfo | None, list[str]]:
        """Return what is known of ids of words, with warnings; None: they are no ids."""
        return None, []

    def _check_type(self, header: npz.ArrayHeader) -> None:
        if header.dtype not in (np.dtype("u1"), np.dtype("<f4")):
            raise InvalidData(f"{header.name} must be uint8 or float32, got {header.dtype}")

    def _check_count(self, header: npz.ArrayHeader) -> None:
        least = 2 if header.name == "x_train" else 1
        if not least <= header.shape[0] <= MAX_EXAMPLES:
            raise InvalidData(
                f"{header.name} must have {least} to {MAX_EXAMPLES} {self.examples}, got "
                f"{header.shape[0]} in its shape {header.shape}"
            )


@dataclass(frozen=True)
class ImageForm(ExampleForm):
    """Images (N, H, W) or (N, H, W, C), which networks take as (C, H, W)."""

    task: TaskName = "image_classification"
    may_count = False

    def shape(self, header: npz.ArrayHeader) -> ExampleShape:
        """Return ``(C, H, W)``. Raises InvalidData."""
        self._check_type(header)
        if len(header.shape) not in (3, 4):
            raise InvalidData(
                f"{header.name} must have shape (N, H, W) or (N, H, W, C), got {header.shape}"
            )
        self._check_count(header)
        _, height, width, channels = (*header.shape, 1)[:4]
        bounds = (
            (height, "rows (H)", *SIDES),
            (width, "columns (W)", *SIDES),
            (channels, "channels (C, the last dimension)", 1, MAX_CHANNELS),
        )
        for value, what, low, high in bounds:
            if not low <= value <= high:
                raise InvalidData(
                    f"{header.name} must have {low} to {high} {what}, got {value}"
                    f" in its shape {header.shape}, which is read as (N, H, W, C)"
                )
        return channels, height, width

    def proposed(
        self, seen: ChannelStatistics, ranges: Ranges, dtype: np.dtype[np.generic]
    ) -> Normalisation | None:
        """Propose mean 0 and deviation 1 of every channel."""
        return seen.normalisation(ranges, dtype)

    def channels(self, shape: tuple[int, ...]) -> int:
        """Count the channels of an image."""
        return shape[3] if len(shape) == 4 else 1

    def named(self, channel: int, shape: tuple[int, ...]) -> str:
        """Number the channels."""
        return f"channel {channel}"

    def where(self, shape: tuple[int, ...], position: int) -> str:
        """Name the value."""
        return f"near its value {position}"

    def constant(self, ranges: Ranges) -> list[str]:
        """Warn about every channel that is constant."""
        found = [
            f"channel {channel} of x_train is {_as_constant(low, high)}"
            for channel, (low, high) in enumerate(ranges)
            if raw_values.is_constant(low, high)
        ]
        if len(found) == len(ranges):
            raise InvalidData(
                f"{'; '.join(found)}: all images look the same, so there is nothing to learn. "
                "Upload images whose values differ; subtract a large offset before they become "
                "float32"
            )
        return [f"{each}: it says nothing to a network" for each in found]


@dataclass(frozen=True)
class ArrayForm(ExampleForm):
    """Arrays (N, ...), which networks take as they are; those of two axes are tables (N, F)."""

    task: TaskName = "classification"
    may_count = True

    def shape(self, header: npz.ArrayHeader) -> ExampleShape:
        """Return all axes but the first. Raises InvalidData."""
        self._check_type(header)
        if not 2 <= len(header.shape) <= 1 + MAX_AXES:
            raise InvalidData(
                f"{header.name} must have shape (N, ...) with 1 to {MAX_AXES} axes for one "
                f"example, got {header.shape}: a table of one column is (N, 1)"
            )
        self._check_count(header)
        if not 1 <= math.prod(header.shape[1:]) <= MAX_VALUES:
            raise InvalidData(
                f"{header.name} must have 1 to {MAX_VALUES} values for one example, got "
                f"{math.prod(header.shape[1:])} in its shape {header.shape}"
            )
        return header.shape[1:]

    def channels(self, shape: tuple[int, ...]) -> int:
        """Count the columns of a table; all values of other arrays are of one kind."""
        return shape[1] if len(shape) == 2 else 1

    def named(self, channel: int, shape: tuple[int, ...]) -> str:
        """Number the columns of a table; other arrays are one."""
        return f"column {channel}" if len(shape) == 2 else "the array"

    def where(self, shape: tuple[int, ...], position: int) -> str:
        """Name row and column, or the row and the place in it."""
        row, *place = np.unravel_index(position, shape)
        if len(place) == 1:
            return f"in row {row}, column {place[0]}"
        return f"in row {row} at {tuple(map(int, place))}"

    def constant(self, ranges: Ranges) -> list[str]:
        """Warn about columns that are constant, all of them at once."""
        found = [
            str(column)
            for column, (low, high) in enumerate(ranges)
            if raw_values.is_constant(low, high)
        ]
        if len(found) == len(ranges):
            raise InvalidData(
                "all examples of x_train are the same, as far as float32 tells, so there is "
                "nothing to learn: upload examples whose values differ"
            )
        columns = f"column {found[0]} is" if len(found) == 1 else f"columns {some(found)} are"
        return [f"{columns} constant in x_train: nothing can be learned from that"] if found else []


def _as_constant(low: float, high: float) -> str:
    if low == high:
        return f"{low:g} everywhere"
    return (
        f"constant as far as float32 tells: its values, {low:.9g} to {high:.9g}, differ by less "
        f"than {raw_values.RESOLVED * raw_values.magnitude(low, high):.3g}"
    )
