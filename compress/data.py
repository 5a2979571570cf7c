"""Image classification data in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from compress import npz
from compress.families.catalog import Normalisation
from compress.holdout import hold_out
from compress.inspection import ARRAYS, DatasetInfo, inspect_dataset
from compress.measurement import Split
from compress.model import ImageData, Images

_STATISTICS_CHUNK = 4096


def load(path: Path, *, max_bytes: int = npz.MAX_BYTES) -> ImageData:
    """Read an npz dataset as ``inspection.inspect_dataset`` describes it.

    Images keep their dtype (uint8 or float32). A file without a validation split gives a fifth
    of its training images to one: the same images for every job. Raises InvalidData.
    """
    info = inspect_dataset(path, max_bytes=max_bytes, find_copies=False)
    with npz.open_archive(path, names=ARRAYS, max_bytes=max_bytes) as archive:
        splits: dict[Split, Images] = {
            split: _images(archive, split)
            for split in info.splits
            if not (info.held_out and split == "validation")
        }
    if info.held_out:
        splits["train"], splits["validation"] = _split(splits["train"], info)
    return ImageData(
        train=splits["train"],
        validation=splits["validation"],
        test=splits.get("test"),
        num_classes=info.num_classes,
    )


def sample_statistics(images: Images) -> Normalisation:
    """Mean and standard deviation per channel of raw values, for a network without its own.

    A channel that never changes gets a deviation of 1.
    """
    channels = images.x_NCHW.shape[1]
    total_C = torch.zeros(channels, dtype=torch.float64)
    square_C = torch.zeros(channels, dtype=torch.float64)
    for x_BCHW in images.x_NCHW.split(_STATISTICS_CHUNK):
        x_BCHW = x_BCHW.double()
        total_C += x_BCHW.sum(dim=(0, 2, 3))
        square_C += x_BCHW.square().sum(dim=(0, 2, 3))
    count = images.x_NCHW.numel() / channels
    mean_C = total_C / count
    std_C = (square_C / count - mean_C.square()).clamp(min=0).sqrt()
    std_C = torch.where(std_C > 1e-6, std_C, 1.0)
    return Normalisation(scale=1.0, mean=tuple(mean_C.tolist()), std=tuple(std_C.tolist()))


def _images(archive: npz.Archive, split: Split) -> Images:
    x_NHWC: NDArray[np.generic] = archive.read(f"x_{split}")
    if x_NHWC.ndim == 3:
        x_NHWC = x_NHWC[..., None]
    labels_N = archive.read(f"y_{split}").astype(np.int64)
    return Images(
        x_NCHW=torch.from_numpy(x_NHWC).permute(0, 3, 1, 2).contiguous(),
        y_N=torch.from_numpy(labels_N),
    )


def _split(images: Images, info: DatasetInfo) -> tuple[Images, Images]:
    train, validation = hold_out(images.y_N.numpy(), info.num_classes)
    return _subset(images, train), _subset(images, validation)


def _subset(images: Images, indices: NDArray[np.int64]) -> Images:
    rows = torch.from_numpy(indices)
    return Images(x_NCHW=images.x_NCHW[rows], y_N=images.y_N[rows])
