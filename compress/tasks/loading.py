"""Load the data of a task into memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.network.preprocessing import Normalisation
from compress.tasks.formats import npz, word_arrays
from compress.tasks.formats.forms import TARGETS
from compress.tasks.formats.id_form import PERTURBED
from compress.tasks.images import ImageData, Images
from compress.tasks.inspection import DatasetInfo, inspect_dataset, open_dataset
from compress.tasks.names import FIRST_TASK, TaskName
from compress.values import raw_values
from compress.values.errors import InvalidData
from compress.values.measurement import Split

_STATISTICS_CHUNK = 4096


def load(path: Path, *, task: TaskName = FIRST_TASK, max_bytes: int = npz.MAX_BYTES) -> ImageData:
    """Read an npz dataset as ``inspection.inspect_dataset`` describes it.

    Examples keep their dtype (uint8, float32 or int32). If a file has no validation split, a fifth
    of its training examples become one: the same ones for every job. Raises InvalidData.
    """
    info = inspect_dataset(path, task=task, max_bytes=max_bytes, find_copies=False)
    with open_dataset(path, max_bytes=max_bytes) as archive:
        splits: dict[Split, Images] = {
            split: _examples(archive, split, task)
            for split in info.splits
            if not (info.held_out and split == "validation")
        }
        x_perturbed = _perturbed(archive)
        words = None if info.text is None else word_arrays.read(archive)
    if info.held_out:
        splits["train"], splits["validation"] = _split(splits["train"], info)
    return ImageData(
        train=splits["train"],
        validation=splits["validation"],
        test=splits.get("test"),
        num_classes=info.num_classes,
        class_names=info.class_names,
        perturbed=None
        if x_perturbed is None
        else Images(x_NCHW=x_perturbed, y_N=splits["validation"].y_N),
        words=words,
    )


def sample_statistics(images: Images) -> Normalisation:
    """Measure mean and standard deviation per channel, for a network without a normalisation.

    Takes two passes over the images in float64, so that a large mean does not swallow a small
    deviation. A channel that is constant (``compress.values.raw_values``) gets a deviation of 1,
    or of what float32 cannot resolve at its magnitude if that is more. Raises InvalidData for
    values that are not allowed.
    """
    low_C, high_C = _ranges(images.x_NCHW)
    mean_C = _channel_mean(images.x_NCHW)
    std_C = _channel_mean(images.x_NCHW, around_C=mean_C).sqrt()
    rows = zip(low_C.tolist(), high_C.tolist(), std_C.tolist(), strict=True)
    std = [
        raw_values.constant_deviation(low, high) if raw_values.is_constant(low, high) else std
        for low, high, std in rows
    ]
    return Normalisation(scale=1.0, mean=tuple(mean_C.tolist()), std=tuple(std))


def _ranges(x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range of every channel. Raises InvalidData for values that are not allowed."""
    low_C, high_C = x_NCHW.amin(dim=_others(x_NCHW)), x_NCHW.amax(dim=_others(x_NCHW))
    for channel, (low, high) in enumerate(zip(low_C.tolist(), high_C.tolist(), strict=True)):
        problem = raw_values.problem(low, high)
        if problem is not None:
            raise InvalidData(f"channel {channel} of the training images {problem}")
    return low_C, high_C


def _channel_mean(x_NCHW: Tensor, *, around_C: Tensor | None = None) -> Tensor:
    """Return ``E[x]`` per channel, or ``E[(x - around)^2]``, in float64."""
    total_C = torch.zeros(x_NCHW.shape[1], dtype=torch.float64)
    for x_BCHW in x_NCHW.split(_STATISTICS_CHUNK):
        x_BCHW = x_BCHW.double()
        if around_C is not None:
            shape = (-1, *(1,) * (x_BCHW.ndim - 2))
            x_BCHW = (x_BCHW - around_C.reshape(shape)).square_()
        total_C += x_BCHW.sum(dim=_others(x_NCHW))
    return total_C / (x_NCHW.numel() / x_NCHW.shape[1])


def _others(x_NCHW: Tensor) -> tuple[int, ...]:
    """Every axis but that of the channels, or of the columns of a table."""
    return (0, *range(2, x_NCHW.ndim))


def _examples(archive: npz.Archive, split: Split, task: TaskName) -> Images:
    x_N = torch.from_numpy(archive.read(f"x_{split}"))
    if task == "image_classification":
        x_N = _channels_first(x_N)
    return Images(x_NCHW=x_N, y_N=torch.from_numpy(TARGETS[task].read(archive, split)))


def _perturbed(archive: npz.Archive) -> Tensor | None:
    """Return the examples of the perturbed copy of validation, whose targets are the same."""
    name = f"x_{PERTURBED}"
    return torch.from_numpy(archive.read(name)) if name in archive.arrays else None


def _channels_first(x_NHWC: Tensor) -> Tensor:
    if x_NHWC.ndim == 3:
        x_NHWC = x_NHWC[..., None]
    return x_NHWC.permute(0, 3, 1, 2).contiguous()


def _split(images: Images, info: DatasetInfo) -> tuple[Images, Images]:
    train, validation = TARGETS[info.task].halves(images.y_N.numpy(), info.class_names)
    return _subset(images, train), _subset(images, validation)


def _subset(images: Images, indices: NDArray[np.int64]) -> Images:
    rows = torch.from_numpy(indices)
    return Images(x_NCHW=images.x_NCHW[rows], y_N=images.y_N[rows])
