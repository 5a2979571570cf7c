"""Image data as a file that every process on a machine maps: decoded once, in memory once.

Pages of a mapped file belong to the kernel's cache, which all processes share and from which it
takes them back when memory is short. They are mapped privately: what one process writes into a
tensor, no other one sees, and the file stays as it is.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from compress.tasks.formats.id_form import PERTURBED
from compress.tasks.formats.words import Words
from compress.tasks.images import ImageData, Images

REVISION = 2
"""Part of the name under which such a file is kept: it rises when the same data gives another."""
_TYPES = {torch.uint8: "U8", torch.float32: "F32", torch.int32: "I32", torch.int64: "I64"}
_LENGTH = struct.Struct("<Q")
_ALIGNED = 64
_WORDS = "words"


def write(data: ImageData, path: Path) -> None:
    """Write every image and label to a file of safetensors, as they lie in memory.

    They are not copied on the way, as safetensors' own function would. Raises OSError.
    """
    tensors = _tensors(data)
    strides = {name: tensor.stride() for name, tensor in tensors.items()}
    said = {
        "num_classes": str(data.num_classes),
        "class_names": json.dumps(data.class_names),
        "strides": json.dumps(strides),
    }
    with path.open("wb") as file:
        file.write(_header(tensors, said))
        for tensor in tensors.values():
            file.write(tensor.numpy().data)


def read(path: Path) -> ImageData:
    """Map a file that ``write`` wrote: equal values, types and strides, read when they are used."""
    with safe_open(path, framework="pt") as file:
        said = file.metadata()
        strides = json.loads(said["strides"])
        # Axes of one element may have any stride, and kernels are chosen by it.
        tensors = {
            name: _strided(file.get_tensor(name), stride) for name, stride in strides.items()
        }
    return ImageData(
        train=_images(tensors, "train"),
        validation=_images(tensors, "validation"),
        test=_images(tensors, "test") if "x_test" in tensors else None,
        num_classes=int(said["num_classes"]),
        class_names=tuple(json.loads(said["class_names"])),
        perturbed=_images(tensors, PERTURBED) if f"x_{PERTURBED}" in tensors else None,
        words=Words.load(tensors[_WORDS].numpy().tobytes()) if _WORDS in tensors else None,
    )


def _tensors(data: ImageData) -> dict[str, Tensor]:
    """Labels come first: they are the widest, and nothing may lie across its own width."""
    splits: dict[str, Images] = {"train": data.train, "validation": data.validation}
    if data.test is not None:
        splits["test"] = data.test
    if data.perturbed is not None:
        splits[PERTURBED] = data.perturbed
    labels = {f"y_{split}": images.y_N for split, images in splits.items()}
    found = labels | {f"x_{split}": images.x_NCHW for split, images in splits.items()}
    if data.words is not None:
        found[_WORDS] = torch.frombuffer(bytearray(data.words.dump()), dtype=torch.uint8)
    return found


def _header(tensors: dict[str, Tensor], said: dict[str, str]) -> bytes:
    """Return the header that https://huggingface.co/docs/safetensors describes."""
    entries, start = dict[str, object](__metadata__=said), 0
    for name, tensor in tensors.items():
        end = start + tensor.nbytes
        shape, offsets = list(tensor.shape), [start, end]
        entries[name] = {"dtype": _TYPES[tensor.dtype], "shape": shape, "data_offsets": offsets}
        start = end
    text = json.dumps(entries).encode()
    text += b" " * (-(_LENGTH.size + len(text)) % _ALIGNED)
    return _LENGTH.pack(len(text)) + text


def _images(tensors: dict[str, Tensor], split: str) -> Images:
    return Images(x_NCHW=tensors[f"x_{split}"], y_N=tensors[f"y_{split}"])


def _strided(tensor: Tensor, stride: list[int]) -> Tensor:
    return tensor.as_strided(tuple(tensor.shape), tuple(stride))
