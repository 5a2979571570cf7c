"""Make a dataset of a zip with a folder of pictures for each class. Torch-free.

Legend: N pictures, H height, W width, C channels.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from compress.tasks.conversion import writing
from compress.tasks.conversion.pictures import decoding, listing
from compress.tasks.conversion.pictures.decoding import Channels, PictureHead
from compress.tasks.conversion.pictures.listing import Picture, PictureListing
from compress.tasks.formats import npz
from compress.tasks.formats.example_forms import SIDES
from compress.tasks.inspection import CLASS_NAMES
from compress.tasks.reading import Conversion, DatasetReading
from compress.values.errors import InvalidData
from compress.values.shown import some

_DIRECTORY_BYTES = 64 * 2**20
_SIZES_SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What every picture becomes."""

    size: tuple[int, int]
    channels: Channels
    is_scaled: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return self.size if self.channels == 1 else (*self.size, self.channels)


class _Zip:
    """An open zip of pictures, which must be read by a certain time."""

    def __init__(self, archive: zipfile.ZipFile, caution: npz.Caution | None) -> None:
        self._archive = archive
        self._caution = caution
        self._begin = time.monotonic()

    def open(self, picture: Picture) -> IO[bytes]:
        self._check_time()
        return self._archive.open(picture.entry)

    def read(self, picture: Picture) -> IO[bytes]:
        """Return the whole file, whose checksum is right."""
        self._check_time()
        if self._caution is not None:
            self._caution.watch.did(1)
        return io.BytesIO(self._archive.read(picture.entry))

    def _check_time(self) -> None:
        caution = self._caution
        if caution is not None and time.monotonic() - self._begin > caution.seconds:
            raise InvalidData(
                f"reading the pictures takes longer than {caution.seconds:g} seconds: send fewer "
                "or smaller ones, or have the service's inspection_seconds raised"
            )


def convert(
    path: Path, target: IO[bytes], reading: DatasetReading, *, caution: npz.Caution | None = None
) -> Conversion:
    """Write the dataset of the zip ``path`` to ``target``. Raises InvalidData.

    Classes are numbered in the order of their folders' names, as torchvision's ImageFolder does.
    """
    if reading.layout is not None:
        raise InvalidData("layout: is for npz files; pictures have one order")
    with _opened(path) as archive:
        found = listing.listed(archive.infolist())
        _check_classes(found, reading)
        zipped = _Zip(archive, caution)
        heads = _heads(zipped, found)
        form = _form(heads, reading)
        _check_size(found, form, path, caution)
        if caution is not None:
            caution.watch.expect(sum(map(len, found.splits.values())))
        with writing.dataset_writer(target) as writer:
            for split, pictures in found.splits.items():
                shape = (len(pictures), *form.shape)
                writer.add(f"x_{split}", shape, "|u1", _decoded(zipped, pictures, form))
                writer.add_labels(f"y_{split}", _labels(pictures, found.class_names))
            writer.add_texts(CLASS_NAMES, found.class_names)
    notes, warnings = _said(heads, form)
    return Conversion(format="pictures", notes=notes, warnings=(*found.warnings, *warnings))


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with npz.CautiousFile(path, most_bytes=_DIRECTORY_BYTES) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive
        except npz.BROKEN as error:
            raise InvalidData(f"the zip archive cannot be read: {error}") from error


def _check_classes(found: PictureListing, reading: DatasetReading) -> None:
    if reading.classes not in (None, len(found.class_names)):
        raise InvalidData(
            f"classes: is {reading.classes}, but there are {len(found.class_names)} folders of "
            f"classes ({some(list(found.class_names))})"
        )


def _heads(zipped: _Zip, found: PictureListing) -> list[tuple[str, PictureHead]]:
    heads = []
    for pictures in found.splits.values():
        for picture in pictures:
            with zipped.open(picture) as file:
                name = picture.entry.filename
                heads.append((name, decoding.head(name, file)))
    return heads


def _form(heads: Sequence[tuple[str, PictureHead]], reading: DatasetReading) -> _Form:
    channels = reading.channels or (1 if all(each.is_grey for _, each in heads) else 3)
    if reading.size is not None:
        return _Form(size=reading.size, channels=channels, is_scaled=True)
    sizes = Counter((each.height, each.width) for _, each in heads)
    if len(sizes) > 1:
        raise InvalidData(_different(heads, sizes))
    [(height, width)] = sizes
    least, most = SIDES
    if not (least <= height <= most and least <= width <= most):
        raise InvalidData(
            f"pictures are {height}x{width} (height x width), expected {least} to {most} pixels: "
            "say size: to have them scaled"
        )
    return _Form(size=(height, width), channels=channels, is_scaled=False)


def _different(heads: Sequence[tuple[str, PictureHead]], sizes: Counter[tuple[int, int]]) -> str:
    example: dict[tuple[int, int], str] = {}
    for name, each in heads:
        example.setdefault((each.height, each.width), name)
    common = sizes.most_common(_SIZES_SHOWN)
    shown = "; ".join(
        f"{height}x{width}: {count:,} (as {example[height, width][:80]!r})"
        for (height, width), count in common
    )
    more = f"; and {len(sizes) - len(common)} more sizes" if len(sizes) > len(common) else ""
    (height, width), _ = common[0]
    return (
        f"pictures have {len(sizes)} different sizes (height x width), {shown}{more}: say "
        f"size: [{height}, {width}] (--size {height}x{width}) to have them scaled and cut"
    )


def _check_size(
    found: PictureListing, form: _Form, path: Path, caution: npz.Caution | None
) -> None:
    count = sum(map(len, found.splits.values()))
    total = count * int(np.prod(form.shape))
    packed = path.stat().st_size
    most = npz.MAX_BYTES if caution is None else min(npz.MAX_BYTES, caution.most_bytes(packed))
    if total > most:
        raise InvalidData(
            f"{count:,} pictures take {total:,} bytes decoded, the limit is {most:,} for a file of "
            "this size: send fewer ones, or say a smaller size:"
        )


def _decoded(zipped: _Zip, pictures: Sequence[Picture], form: _Form) -> Iterator[NDArray[np.uint8]]:
    for picture in pictures:
        name = picture.entry.filename
        with zipped.read(picture) as file:
            yield decoding.decode(
                name, file, channels=form.channels, size=form.size, is_scaled=form.is_scaled
            )


def _labels(pictures: Sequence[Picture], class_names: Sequence[str]) -> NDArray[np.int64]:
    place = {name: label for label, name in enumerate(class_names)}
    return np.array([place[picture.class_name] for picture in pictures], np.int64)


def _said(
    heads: Sequence[tuple[str, PictureHead]], form: _Form
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    modes = Counter(each.mode for _, each in heads)
    notes = [
        f"{count:,} {said}"
        for mode, count in sorted(modes.items())
        if (said := decoding.converted(mode, form.channels)) is not None
    ]
    height, width = form.size
    others = sum((each.height, each.width) != form.size for _, each in heads)
    warnings = (
        f"{others:,} of {len(heads):,} pictures had another size: scaled and cut to "
        f"{height}x{width} (height x width)"
    )
    return tuple(notes), (warnings,) if others else ()
