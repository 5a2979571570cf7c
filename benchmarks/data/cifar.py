"""The published CIFAR networks and the images, from the data that lies beside the repository.

The checkpoints were trained on all 50,000 training images, so the first half of the test sheet is
the validation split; the second half is opened once, at the end.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.sources import safetensors
from compress.tasks.images import ImageData, Images

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CHECKPOINT = DATA / "checkpoints" / "cifar10_resnet20.safetensors"
NORMALISATION = Normalisation(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
_SHEETS = 5


def images(*, train_images: int = 50_000) -> ImageData:
    """CIFAR-10: ``train_images`` of training, 5,000 of validation, 5,000 of test.

    Raises SystemExit, saying so, where the data is not there.
    """
    if not (DATA / "cifar10").exists():
        raise SystemExit("this benchmark needs shared/data/cifar10 beside the repository")
    labels = np.load(DATA / "cifar10" / "labels.npz")
    y_train, y_test = (torch.from_numpy(labels[k].astype(np.int64)) for k in ("y_train", "y_test"))
    sheets = -(-train_images // 10_000)
    x_train = torch.cat([_sheet(f"train_{i}") for i in range(min(sheets, _SHEETS))])[:train_images]
    x_test = _sheet("test")
    return ImageData(
        train=Images(x_NCHW=x_train, y_N=y_train[:train_images]),
        validation=Images(x_NCHW=x_test[:5000], y_N=y_test[:5000]),
        test=Images(x_NCHW=x_test[5000:], y_N=y_test[5000:]),
        num_classes=10,
    )


def save(data: ImageData, folder: Path) -> Path:
    """Write images with all three splits to a file that the service takes as a dataset."""
    assert data.test is not None
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    images = {f"x_{n}": each.x_NCHW.permute(0, 2, 3, 1).numpy() for n, each in splits.items()}
    labels = {f"y_{n}": each.y_N.numpy() for n, each in splits.items()}
    path = folder / "cifar10.npz"
    np.savez(path, allow_pickle=False, **images, **labels)
    return path


def architecture(depth: int) -> Residual:
    """A ResNet for CIFAR of so many layers, with option A shortcuts."""
    blocks = (depth - 2) // 6
    return Residual(widths=(16, 32, 64), depths=(blocks, blocks, blocks), shortcut="pad")


def network(depth: int = 20) -> Network:
    """The published ResNet-20 or ResNet-56."""
    return safetensors.load(
        DATA / "checkpoints" / f"cifar10_resnet{depth}.safetensors",
        architecture=architecture(depth),
        normalisation=NORMALISATION,
        input_shape=(3, 32, 32),
        num_classes=10,
    )


def _sheet(name: str) -> Tensor:
    tiles = np.asarray(Image.open(DATA / "cifar10" / f"{name}.webp").convert("RGB"))
    pixels = tiles.reshape(100, 32, 100, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
