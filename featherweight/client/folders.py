"""A folder of pictures as one zip file, made on the user's machine."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from compress.tasks.conversion.text.bundle import TOKENIZER_FILE
from compress.values.file_formats.recognition import PICTURE_SUFFIXES
from featherweight.errors import UploadRefused

_EPOCH = (1980, 1, 1, 0, 0, 0)
FORM = "expected a folder for each class, as in FOLDER/cat/1.png or FOLDER/train/cat/1.png"


@contextmanager
def as_file(path: Path, *, tokenizer: Path | None = None) -> Iterator[Path]:
    """Yield the file itself, or a zip of the pictures of a folder, which goes away afterwards.

    A file of texts with its ``tokenizer`` becomes a zip of both. The same files give the same
    bytes. Raises UploadRefused if the folder has no pictures, or a file cannot be read.
    """
    if tokenizer is not None:
        with tempfile.TemporaryDirectory() as place:
            zipped = Path(place) / f"{path.stem}.zip"
            _zip_files({TOKENIZER_FILE: tokenizer, f"texts{path.suffix}": path}, zipped)
            yield zipped
        return
    if not path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory() as place:
        zipped = Path(place) / f"{path.resolve().name or 'pictures'}.zip"
        _zip(path, zipped)
        yield zipped


def has_pictures(folder: Path) -> bool:
    """Return whether there is a picture anywhere within the folder."""
    return next(_pictures(folder), None) is not None


def _zip(folder: Path, target: Path) -> None:
    files = sorted(_pictures(folder))
    if not files:
        raise UploadRefused(f"{folder} holds no pictures: {FORM}")
    _zip_files({name: folder / name for name in files}, target)


def _zip_files(files: Mapping[str, Path], target: Path) -> None:
    # Pictures are compressed already.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, path in files.items():
            with _readable(path) as source:
                entry = zipfile.ZipInfo(name, _EPOCH)
                with archive.open(entry, "w", force_zip64=True) as file:
                    shutil.copyfileobj(source, file)


def _readable(path: Path) -> IO[bytes]:
    """Open a picture whose name others can read, too. Raises UploadRefused."""
    try:
        str(path).encode()
        return path.open("rb")
    except UnicodeEncodeError as error:
        shown = ascii(os.fsencode(path.name))
        raise UploadRefused(f"{shown} in {path.parent} is a name that is not UTF-8") from error
    except OSError as error:
        raise UploadRefused(f"{path} cannot be read: {error.strerror}") from error


def _pictures(folder: Path) -> Iterator[str]:
    """Yield names of pictures within the folder; links and hidden files are left out."""
    for place, inner, names in os.walk(folder, followlinks=False):
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in names:
            file = Path(place) / name
            is_picture = name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")
            if is_picture and stat.S_ISREG(file.lstat().st_mode):
                yield file.relative_to(folder).as_posix()
