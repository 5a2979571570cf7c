"""Folders that are refused, each with words that the message must hold. Made by code."""

import io
import os
import random

import numpy as np
from PIL import Image

from tests.compress.tasks.conversion import hostile_pictures
from tests.compress.tasks.conversion.hostile_pictures import CLASSES, PNG, encoded, files, pixels

HELD = "holds no pictures"
NO_NAME = "no name of a picture"


def written(folder, members):
    for name, data in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def holding(members):
    return lambda folder: written(folder, members)


def linked(folder):
    (folder.parent / "secret.png").write_bytes(PNG)
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        (folder / name / "1.png").symlink_to(folder.parent / "secret.png")


def circle(folder):
    (folder / "cat").symlink_to(folder)


def pipes(folder):
    (folder / "cat").mkdir()
    os.mkfifo(folder / "cat" / "1.png")


def folders_called_pictures(folder):
    (folder / "cat" / "1.png").mkdir(parents=True)


def bytes_that_are_no_text(folder):
    written(folder, files())
    (folder / "cat" / os.fsdecode(b"\xff\xfe.png")).write_bytes(PNG)


def large(folder):
    written(folder, files())
    with (folder / "cat" / "large.png").open("wb") as file:
        file.truncate(64 * 2**20 + 1)


def damaged():
    """Pictures of every kind with every damage."""
    for kind in ("PNG", "JPEG", "WEBP"):
        whole = encoded(pixels(shape=(64, 64, 3)), kind)
        noise = random.Random(0).randbytes(500)
        for what, data in {
            "nothing": b"",
            "three bytes": whole[:3],
            "a magic number": whole[:12],
            "a quarter": whole[: len(whole) // 4],
            "a half": whole[: len(whole) // 2],
            "all but the end": whole[: len(whole) - len(whole) // 20],
            "noise": whole[:12] + noise,
            "another format": encoded(pixels(), "GIF"),
            "text behind the magic number": whole[:12] + b"<script>" * 100,
        }.items():
            suffix = kind.lower()
            members = {f"{name}/{n}.{suffix}": whole for name in CLASSES for n in range(5)}
            members[f"cat/1.{suffix}"] = data
            yield f"{suffix}: {what}", (holding(members), f"'cat/1.{suffix}' is no readable")


def of_zips():
    """Those of the zips that a disk can hold."""
    for name, (content, words) in hostile_pictures.HOSTILE.items():
        if isinstance(content, dict) and not any(_is_impossible(each) for each in content):
            yield name, (holding(content), words)


def _is_impossible(name):
    return ".." in name or name.startswith("/") or len(name) > 200


def bitmap():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "BMP")
    return buffer.getvalue()


HOSTILE = {
    "nothing": (holding({}), HELD),
    "texts alone": (holding({"cat/1.txt": b"a", "dog/1.txt": b"b"}), HELD),
    "bitmaps alone": (
        holding({"cat/1.bmp": bitmap(), "dog/1.bmp": bitmap()}),
        "convert it to png",
    ),
    "hidden alone": (holding({".cat/1.png": PNG, "dog/.1.png": PNG}), HELD),
    "links alone": (linked, HELD),
    "a circle": (circle, HELD),
    "pipes": (pipes, HELD),
    "folders called pictures": (folders_called_pictures, HELD),
    "bytes that are no text": (bytes_that_are_no_text, r"\\xff\\xfe.png.*name.*UTF-8"),
    "a line break": (holding(files(**{"cat/a\nb.png": PNG})), NO_NAME),
    "a backslash": (holding(files(**{"cat/a\\..\\b.png": PNG})), NO_NAME),
    "an escape": (holding(files(**{"cat/\x1b]0;a\x07.png": PNG})), NO_NAME),
    "written from right to left": (holding(files(**{"cat/\u202egnp.png": PNG})), NO_NAME),
    "large": (large, "67,108,865 bytes, the limit is"),
    "one class": (holding({"cat/1.png": PNG, "cat/2.png": PNG}), "2 to 10000 folders"),
    "a picture beside the classes": (holding(files(**{"1.png": PNG})), "tells no class"),
    **dict(damaged()),
    **dict(of_zips()),
}
