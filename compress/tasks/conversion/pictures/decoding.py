"""Decode pictures of strangers within bounds, by Pillow. Torch-free.

Only in a process of bounded memory and time. Legend: H height, W width, C channels.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from compress.values.errors import InvalidData

Channels: TypeAlias = Literal[1, 3]
MAX_PIXELS: Final = 50_000_000
_FORMATS = ("PNG", "JPEG", "WEBP")
_GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L"})
_ORIENTATION = 0x0112
_TURNED = range(5, 9)
"""Orientations that exchange height and width."""
_BROKEN = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    OSError,
    SyntaxError,
    ValueError,
    OverflowError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
)
"""What Pillow raises on files that are not what they say."""


class PictureHead(NamedTuple):
    """What a picture says of itself: its mode, and its size as it is to be looked at."""

    mode: str
    height: int
    width: int

    @property
    def is_grey(self) -> bool:
        """Whether it has no colours."""
        return self.mode in _GREY


def head(name: str, file: IO[bytes]) -> PictureHead:
    """Read the beginning of a picture. Raises InvalidData."""
    with _opened(name, file) as image:
        width, height = image.size
        # Where a png says it behind its pixels, ``decode`` finds it.
        is_known = image.format != "PNG" or "exif" in image.info
        if is_known and image.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
        return PictureHead(image.mode, height, width)


def decode(
    name: str, file: IO[bytes], *, channels: Channels, size: tuple[int, int], is_scaled: bool
) -> NDArray[np.uint8]:
    """Return a picture as (H, W) or (H, W, 3), turned as it is to be looked at.

    One of another size is scaled until its shorter side fits, and cut around the middle, or
    refused unless ``is_scaled``. Raises InvalidData.
    """
    height, width = size
    with _opened(name, file) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        plain = _of_channels(upright, channels)
        if plain.size != (width, height):
            if not is_scaled:
                raise InvalidData(
                    f"{name[:120]!r} says behind its pixels that it lies on its side: say size:"
                )
            plain = ImageOps.fit(plain, (width, height), Image.Resampling.BILINEAR)
        return np.asarray(plain, np.uint8)


def converted(mode: str, channels: Channels) -> str | None:
    """Return what is done to pictures of a mode, in words; None if nothing."""
    if mode == ("L" if channels == 1 else "RGB"):
        return None
    target = "grey" if channels == 1 else "RGB"
    notes = {
        "RGBA": "without their transparency",
        "LA": "without their transparency",
        "PA": "without their transparency",
        "P": "by their palettes",
        "I;16": "by their upper 8 of 16 bits",
        "I;16B": "by their upper 8 of 16 bits",
        "CMYK": "from CMYK",
    }
    return f"{mode} pictures became {target}{' ' + notes[mode] if mode in notes else ''}"


def _of_channels(image: Image.Image, channels: Channels) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would cut all values above 255.
        deep = np.asarray(image).astype(np.int64)
        image = Image.fromarray((deep >> 8).clip(0, 255).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    target = "L" if channels == 1 else "RGB"
    return image if image.mode == target else image.convert(target)


@contextmanager
def _opened(name: str, file: IO[bytes]) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                _check(name, image)
                yield image
    except _BROKEN as error:
        said = str(error)[:200] or type(error).__name__
        raise InvalidData(f"{name[:120]!r} is no readable png, jpeg or webp: {said}") from error


def _check(name: str, image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise InvalidData(
            f"{name[:120]!r} has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}"
        )
    frames = getattr(image, "n_frames", 1)
    # A phone's jpeg may hold a second view of the same picture.
    if frames != 1 and image.format != "MPO":
        raise InvalidData(f"{name[:120]!r} moves, it has {frames} frames: send one of them")
