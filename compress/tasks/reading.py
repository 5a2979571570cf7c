"""How a dataset that was sent is read, as far as its file does not say so itself. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field

from compress.network.signature import Layout
from compress.values.measurement import MAX_CLASSES

Side: TypeAlias = Annotated[int, Field(ge=4, le=1024)]
"""Pixels of a picture, one way."""


class DatasetReading(BaseModel, frozen=True, extra="forbid"):
    """What its sender says of a dataset's file; nothing needs to be said of most."""

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
