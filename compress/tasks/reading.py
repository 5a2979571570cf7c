"""How a dataset that was sent is read, as far as its file does not say so itself. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, Field, model_validator

from compress.network.signature import Layout
from compress.tasks.names import FIRST_TASK, TEXT_TASKS, TaskName
from compress.values.file_formats.answers import Expected
from compress.values.measurement import MAX_CLASSES

SEVERAL_TARGETS = frozenset({"multilabel", "regression"})
"""Tasks that may take what they predict from several columns of a table."""
Side: TypeAlias = Annotated[int, Field(ge=4, le=1024)]
"""Pixels of a picture, one way."""
Column: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
"""The name of a column of a table."""
LONGEST_TEXT = 512
MOST_WORDS = 30_000
"""Words of a text, and of the vocabulary, unless a reading says others."""


class DatasetReading(BaseModel, frozen=True, extra="forbid"):
    """What its sender says of a dataset's file; nothing needs to be said of most images."""

    task: TaskName = Field(
        default=FIRST_TASK,
        # Names of files are made of readings that are older than the field.
        exclude_if=lambda task: task == FIRST_TASK,
        description="What its examples are for: image_classification; classification, multilabel, "
        "regression or unlabelled of arrays of any axes, such as tables, series and features; or, "
        "of texts and ids of words, text_classification, text_matching or sequence_labelling.",
    )
    layout: Layout | None = Field(
        default=None,
        description="Order of the axes of 4-dimensional images, the first being their number; "
        "none: the order that is possible, and NHWC if both are.",
    )
    classes: int | None = Field(
        default=None,
        ge=2,
        le=MAX_CLASSES,
        description="Number of classes that labels count in, from 0: none of them is left out, "
        "not even those without images. None: labels that leave numbers out are counted anew.",
    )

    size: tuple[Side, Side] | None = Field(
        default=None,
        description="Height and width that pictures of other sizes get: scaled until the shorter "
        "side fits, then cut around the middle. None: pictures of different sizes are refused.",
    )
    channels: Literal[1, 3] | None = Field(
        default=None,
        description="Pictures become grey (1) or RGB (3). None: grey if all of them are.",
    )

    target: Column | Annotated[tuple[Column, ...], Field(min_length=1, max_length=1024)] | None = (
        Field(
            default=None,
            exclude_if=lambda value: value is None,
            description="Column of a table that holds the labels, or several of numbers to predict "
            "or of labels that hold or not. None: the one called target, label, class or y.",
        )
    )
    features: tuple[Column, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        exclude_if=lambda value: value is None,
        description="Columns of a table that are examples, in the order in which the network takes "
        "them; of texts the column of the text, or both of a pair. None: all but the target, and "
        "but split, which says train, validation or test; of texts those with a usual name.",
    )
    max_length: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        exclude_if=lambda value: value is None,
        description=f"Most words of a text: the rest is cut off. None: {LONGEST_TEXT}.",
    )
    max_words: int | None = Field(
        default=None,
        ge=3,
        le=200_000,
        exclude_if=lambda value: value is None,
        description="Most ids of the vocabulary that is made of the training texts, those of "
        f"padding and of the unknown word among them. None: {MOST_WORDS:,}.",
    )
    lower_case: bool | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="Whether words that differ by capitals only are one. None: yes.",
    )
    word_parts: bool | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="For sequence_labelling: each word is four ids, of the word, its last and its "
        "first three characters, and its shape. None: one id.",
    )

    @model_validator(mode="after")
    def _is_of_its_task(self) -> Self:
        if self.task != "image_classification" and (self.layout or self.is_of_pictures):
            raise ValueError(
                "layout, size and channels are for images: leave them out if the task is "
                f"{self.task}, whose arrays are read as (N, ...)"
            )
        if len(self.targets) > 1 and self.task not in SEVERAL_TARGETS:
            raise ValueError(
                f"target names {len(self.targets)} columns, and {self.task} has one label for each "
                f"example: name one, or say task: {' or '.join(sorted(SEVERAL_TARGETS))}"
            )
        if self.targets and self.task == "unlabelled":
            raise ValueError("target: unlabelled has no labels: leave it out")
        if self.task == "image_classification" and self.is_of_table:
            raise ValueError("target and features are for tables: say task: classification, too")
        if self.task not in (*TEXT_TASKS, "unlabelled") and self.is_of_text:
            raise ValueError(
                "max_length, max_words, lower_case and word_parts are for texts: say task: "
                "text_classification, text_matching or sequence_labelling, too"
            )
        if self.word_parts is not None and self.task != "sequence_labelling":
            raise ValueError("word_parts is for sequence_labelling: leave it out")
        self._check_columns()
        return self

    def _check_columns(self) -> None:
        columns = 2 if self.task == "text_matching" else 1
        if self.task in TEXT_TASKS and self.features and len(self.features) != columns:
            raise ValueError(
                f"features must name {columns} column{'s'[: columns > 1]} of text for "
                f"{self.task}, got {len(self.features)}"
            )

    @property
    def expected(self) -> Expected:
        """What kind of file it may be of."""
        return "dataset" if self.task == "image_classification" else "arrays"

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns that are said to hold what examples are answered with."""
        if self.target is None:
            return ()
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def is_of_table(self) -> bool:
        """Whether something is said that only tables have."""
        return self.target is not None or self.features is not None

    @property
    def is_of_text(self) -> bool:
        """Whether something is said that only texts have."""
        said = (self.max_length, self.max_words, self.lower_case, self.word_parts)
        return any(each is not None for each in said)

    @property
    def is_of_pictures(self) -> bool:
        """Whether something is said that only pictures have."""
        return self.size is not None or self.channels is not None

    @property
    def is_default(self) -> bool:
        """Whether nothing is said."""
        return self == type(self)()


class DatasetOrigin(BaseModel, frozen=True, extra="forbid"):
    """The file that a dataset was made of when it was sent, and how that was read."""

    sha256: str
    size_bytes: int
    format: str
    reading: DatasetReading


class Conversion(BaseModel, frozen=True, extra="forbid"):
    """What was done to make a dataset of a file. ``warnings`` may matter, ``notes`` hardly do."""

    format: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class RefusedFile(BaseModel, frozen=True, extra="forbid"):
    """Why no dataset can be made of a file, and the way out."""

    reason: str


class ConversionVerdict(BaseModel, frozen=True, extra="forbid"):
    """What the converting process answers."""

    found: Conversion | RefusedFile
