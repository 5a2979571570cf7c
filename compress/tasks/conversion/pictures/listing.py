"""Which members of a zip are pictures of which class and split. Torch-free.

The names are only ever compared, never used as paths.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from compress.tasks.inspection import check_class_names
from compress.values.errors import InvalidData
from compress.values.measurement import MAX_CLASSES, SPLITS, Split
from compress.values.shown import some

MAX_MEMBERS = 250_000
MAX_FILE_BYTES = 64 * 2**20
MAX_BYTES = 8 * 2**30
_ENCRYPTED = 0x1
_LONGEST_PATH = 1000
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_OTHERS = (".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif")
_DROPPED = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
_NAMED: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_FORM = "expected CLASS/picture.png, or SPLIT/CLASS/picture.png with the splits train, val and test"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A member of the zip that is a picture of a class."""

    entry: zipfile.ZipInfo
    split: Split
    class_name: str


@dataclass(frozen=True, kw_only=True)
class PictureListing:
    """The pictures by split, in the order of their names, the classes in theirs, what is odd."""

    splits: dict[Split, tuple[Picture, ...]]
    class_names: tuple[str, ...]
    warnings: tuple[str, ...]


def listed(entries: Sequence[zipfile.ZipInfo]) -> PictureListing:
    """Sort the members of a zip. Raises InvalidData for a zip that cannot be a dataset."""
    _check_all(entries)
    files = [entry for entry in entries if not entry.is_dir() and not _is_dropped(entry)]
    pictures = [entry for entry in files if entry.filename.lower().endswith(_SUFFIXES)]
    for entry in files:
        _check(entry)
    found = sorted(_placed(pictures), key=lambda each: each.entry.filename)
    if not found:
        raise InvalidData(f"the zip archive holds no png, jpeg or webp pictures: {_FORM}")
    splits: dict[Split, tuple[Picture, ...]] = {
        split: tuple(each for each in found if each.split == split)
        for split in SPLITS
        if any(each.split == split for each in found)
    }
    names = _class_names(splits)
    left = sorted({entry.filename for entry in files} - {entry.filename for entry in pictures})
    return PictureListing(splits=splits, class_names=names, warnings=_warnings(names, left))


def _check_all(entries: Sequence[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_MEMBERS:
        raise InvalidData(
            f"the zip archive must hold at most {MAX_MEMBERS:,} files, got {len(entries):,}"
        )
    if len({entry.filename for entry in entries}) != len(entries):
        raise InvalidData("the zip archive holds the same name twice")
    total = sum(entry.file_size for entry in entries)
    if total > MAX_BYTES:
        raise InvalidData(f"the files take {total:,} bytes unpacked, the limit is {MAX_BYTES:,}")


def _is_dropped(entry: zipfile.ZipInfo) -> bool:
    """Whether a file is one that systems leave in folders."""
    parts = entry.filename.split("/")
    return any(part.startswith(".") and part not in (".", "..") for part in parts) or any(
        part.lower() in _DROPPED for part in parts
    )


def _check(entry: zipfile.ZipInfo) -> None:
    name, shown = entry.filename, repr(entry.filename[:120])
    if len(name) > _LONGEST_PATH or not name.isprintable() or "\\" in name:
        raise InvalidData(f"{shown} is no name of a picture: {_FORM}")
    if {".", "..", ""} & set(name.split("/")):
        raise InvalidData(f"{shown} leads out of its folder: {_FORM}")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise InvalidData(f"{shown} is a symbolic link: send the picture itself")
    if entry.flag_bits & _ENCRYPTED:
        raise InvalidData(f"{shown} is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidData(f"{shown} must be stored or deflated, got method {entry.compress_type}")
    if entry.file_size > MAX_FILE_BYTES:
        raise InvalidData(f"{shown} has {entry.file_size:,} bytes, the limit is {MAX_FILE_BYTES:,}")
    if name.lower().endswith(_OTHERS):
        raise InvalidData(f"{shown} is neither png, jpeg nor webp: convert it to png")


def _placed(entries: Sequence[zipfile.ZipInfo]) -> Iterable[Picture]:
    paths = [entry.filename.split("/") for entry in entries]
    outer = _outer(paths)
    for entry, path in zip(entries, paths, strict=True):
        inner = path[outer:]
        if len(inner) == 2:
            yield Picture(entry=entry, split="train", class_name=inner[0])
        elif len(inner) == 3 and inner[0].lower() in _NAMED:
            yield Picture(entry=entry, split=_NAMED[inner[0].lower()], class_name=inner[1])
        else:
            raise InvalidData(f"{entry.filename[:120]!r} tells no class: {_FORM}")


def _outer(paths: Sequence[Sequence[str]]) -> int:
    """Return how many folders around everything say nothing, as the one that was zipped."""
    outer = 0
    while paths and min(map(len, paths)) - outer > 2:
        firsts = {path[outer] for path in paths}
        if len(firsts) > 1 or firsts.pop().lower() in _NAMED:
            break
        outer += 1
    return outer


def _class_names(splits: dict[Split, tuple[Picture, ...]]) -> tuple[str, ...]:
    if "train" not in splits:
        raise InvalidData(f"there is no train, only {some([*splits])}: {_FORM}")
    names = sorted({each.class_name for each in splits["train"]})
    if not 2 <= len(names) <= MAX_CLASSES:
        raise InvalidData(
            f"train must have 2 to {MAX_CLASSES} folders of classes, got {len(names)} "
            f"({some(names)})"
        )
    for split, pictures in splits.items():
        strange = sorted({each.class_name for each in pictures} - set(names))
        if strange:
            raise InvalidData(
                f"{split} has the classes {some(strange)}, which train has not: it has "
                f"{some(names)}"
            )
    return check_class_names("a folder", names)


def _warnings(names: Sequence[str], left: Sequence[str]) -> tuple[str, ...]:
    found = []
    if all(name.isdecimal() for name in names) and list(names) != sorted(names, key=int):
        label = next(k for k, name in enumerate(names) if int(name) != k)
        found.append(
            f"folders are ordered as texts, as torchvision's ImageFolder does: class {label} is "
            f"{names[label]!r}; name them 00, 01 and so on for the order of numbers"
        )
    if left:
        found.append(f"{len(left)} files are no pictures and left out: {some(list(left))}")
    return tuple(found)
