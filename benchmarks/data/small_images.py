"""The scanned digits, and Fashion-MNIST where it lies beside the repository."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.data.cifar import DATA
from compress.tasks.images import ImageData, Images
from featherweight.samples import scanned_digits

_SHEETS = 6
_VALIDATION = 5_000


def has_fashion() -> bool:
    """Whether Fashion-MNIST is there."""
    return (DATA / "fashion_mnist").exists()


def digits() -> ImageData:
    """1,797 scans of 8 x 8 pixels in a fixed order: half to train, a quarter each to judge."""
    images, labels = scanned_digits()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    x_NCHW = torch.from_numpy(images).unsqueeze(1)[order]
    y_N = torch.from_numpy(labels)[order]
    return ImageData(
        train=Images(x_NCHW=x_NCHW[:900], y_N=y_N[:900]),
        validation=Images(x_NCHW=x_NCHW[900:1350], y_N=y_N[900:1350]),
        test=Images(x_NCHW=x_NCHW[1350:], y_N=y_N[1350:]),
        num_classes=10,
    )


def fashion(*, train_images: int) -> ImageData:
    """Fashion-MNIST: the first training images, the last 5,000 as validation, and the test sheet.

    Raises SystemExit, saying so, where it is not there or has fewer images.
    """
    if not has_fashion():
        raise SystemExit("this benchmark needs shared/data/fashion_mnist beside the repository")
    sheets = torch.cat([_sheet(f"train_{index}") for index in range(_SHEETS)])
    if not 1 <= train_images <= len(sheets) - _VALIDATION:
        raise SystemExit(f"{train_images} training images: at most {len(sheets) - _VALIDATION}")
    labels = np.load(DATA / "fashion_mnist" / "labels.npz")
    y_train, y_test = (torch.from_numpy(labels[k].astype(np.int64)) for k in ("y_train", "y_test"))
    return ImageData(
        train=Images(x_NCHW=sheets[:train_images], y_N=y_train[:train_images]),
        validation=Images(x_NCHW=sheets[-_VALIDATION:], y_N=y_train[-_VALIDATION:]),
        test=Images(x_NCHW=_sheet("test"), y_N=y_test),
        num_classes=10,
    )


def _sheet(name: str) -> Tensor:
    tiles = np.asarray(Image.open(DATA / "fashion_mnist" / f"{name}.webp").convert("RGB"))[..., 0]
    pixels = tiles.reshape(100, 28, 100, 28).swapaxes(1, 2).reshape(-1, 1, 28, 28)
    return torch.from_numpy(np.ascontiguousarray(pixels))
