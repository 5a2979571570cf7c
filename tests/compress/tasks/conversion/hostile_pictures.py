"""Zips of pictures that are refused, each with words that its message must hold. Made by code."""

import io
import stat
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog")
ORIENTATION = 0x0112


def pixels(seed=0, shape=(8, 6, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(
        buffer, kind, **options
    )
    return buffer.getvalue()


PNG = encoded(pixels())


def files(count=5, splits=("",), **changes):
    """A folder of each class for each split, and what changes in it."""
    found = {
        f"{split}{name}/{number}.png": encoded(
            pixels(zlib.crc32(f"{split}{name}{number}".encode()))
        )
        for split in splits
        for name in CLASSES
        for number in range(count)
    }
    return found | changes


def zipped(members, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width, height):
    size = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size)


def moving(kind):
    frames = [Image.new("RGB", (6, 8), colour) for colour in ("red", "blue")]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def late_orientation():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return PNG[:-12] + chunk(b"eXIf", exif.tobytes()[6:]) + PNG[-12:]


def link():
    entry = zipfile.ZipInfo("cat/link.png")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zipped([*files().items(), (entry, "/etc/passwd")])


def encrypted():
    data = bytearray(zipped(files()))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def lying(offset, value):
    data = bytearray(zipped(files()))
    place = data.index(b"PK\x01\x02") + offset
    data[place : place + 4] = struct.pack("<I", value)
    return bytes(data)


def spoiled():
    data = bytearray(zipped(files()))
    data[data.index(b"IDAT") + 30] ^= 1
    return bytes(data)


BLACK = encoded(np.zeros((1000, 1000, 3), np.uint8))
HOSTILE = {
    "no folders": ({"1.png": PNG, "2.png": PNG}, "'1.png' tells no class"),
    "deep folders": (files(**{"a/b/c/d.png": PNG}), "tells no class"),
    "an unknown split": ({"a/cat/1.png": PNG, "b/dog/1.png": PNG}, "tells no class"),
    "one class": ({"cat/1.png": PNG, "cat/2.png": PNG}, "2 to 10000 folders"),
    "no train": (files(splits=("test/",)), "there is no train, only test"),
    "a class that train has not": (
        files(splits=("train/",)) | {"val/eel/1.png": PNG},
        "validation has the classes eel, which train has not",
    ),
    "a way up": (files(**{"cat/../../1.png": PNG}), "leads out of its folder"),
    "a way from the root": (files(**{"/etc/1.png": PNG}), "leads out of its folder"),
    "a way of Windows": (files(**{"cat\\dog\\1.png": PNG}), "no name of a picture"),
    "a control character": (files(**{"cat/\x1b[2J.png": PNG}), "no name of a picture"),
    "a class of control characters": (files(**{"\u202ecat/1.png": PNG}), "no name of a picture"),
    "a long path": (files(**{f"cat/{'x' * 2000}.png": PNG}), "no name of a picture"),
    "a long class": (files(**{f"{'x' * 200}/1.png": PNG}), "no name of a class"),
    "a link": (link(), "is a symbolic link"),
    "encrypted": (encrypted(), "is encrypted"),
    "another method": (zipped(files(), zipfile.ZIP_LZMA), "stored or deflated"),
    "a directory that says huge": (lying(24, 2**31), "bytes, the limit is"),
    "a directory that says too little": (lying(20, 5), "CRC"),
    "a changed byte": (spoiled(), "CRC"),
    "cut": (zipped(files())[:-40], "cannot be read"),
    "no members": (zipped({}), "not a readable npz archive|missing"),
    "other pictures": (files(**{"cat/1.tiff": PNG}), "convert it to png"),
    "a text as picture": (files(**{"cat/1.png": b"hello"}), "'cat/1.png' is no readable png"),
    "an empty picture": (files(**{"cat/1.png": b""}), "'cat/1.png' is no readable png"),
    "svg": (files(**{"cat/1.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}), "no readable"),
    "PostScript": (files(**{"cat/1.png": b"%!PS-Adobe-3.0 EPSF-3.0\n"}), "no readable"),
    "a gif called png": (files(**{"cat/1.png": encoded(pixels(), "GIF")}), "no readable"),
    "half a picture": (files(**{"cat/1.png": PNG[: len(PNG) // 2]}), "no readable png"),
    "half a jpeg": (
        files(**{"cat/1.png": encoded(pixels(shape=(8, 6, 3)), "JPEG")[:-60]}),
        "no readable",
    ),
    "a head alone": (files(**{"cat/1.png": png_header(6, 8)}), "no readable png"),
    "no pixels": (files(**{"cat/1.png": png_header(0, 8)}), "no readable png"),
    "a head of very many pixels": (
        files(**{"cat/1.png": png_header(60_000, 60_000)}),
        "no readable png|more than 50,000,000",
    ),
    "a flat head": (files(**{"cat/1.png": png_header(2**31 - 1, 1)}), "readable|more than"),
    "a text that unpacks large": (
        files(
            **{
                "cat/1.png": PNG[:33]
                + chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(2**24)))
                + PNG[33:]
            }
        ),
        "no readable png",
    ),
    "moving png": (files(**{"cat/1.png": moving("PNG")}), "moves, it has 2 frames"),
    "moving webp": (files(**{"cat/1.png": moving("WEBP")}), "moves, it has 2 frames"),
    "turned behind its pixels": (
        {f"{name}/{n}.png": late_orientation() for name in CLASSES for n in range(5)},
        "lies on its side",
    ),
    "small pictures": (
        {f"{name}/{n}.png": encoded(pixels(n, (3, 3, 3))) for name in CLASSES for n in range(5)},
        "3x3 .*expected 4 to 1024",
    ),
    "large pictures": (
        {f"{n}/1.png": encoded(np.zeros((4, 1025), np.uint8)) for n in CLASSES},
        "say size: to have them scaled",
    ),
    "little that becomes much": (
        {f"{name}/{n}.png": BLACK for name in CLASSES for n in range(50)},
        "300,000,000 bytes decoded, the limit is 268,435,456",
    ),
}
