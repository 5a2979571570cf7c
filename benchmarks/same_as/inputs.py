"""Images for the jobs: a few of scikit-learn's digits, the same bytes for both checkouts."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

_SIZES = {"train": 500, "validation": 200, "test": 200}
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The zip format keeps a time for every member: the earliest one, so that bytes are the same."""


def write_digits(path: Path) -> None:
    """Write an npz dataset of 900 images of 8 by 8 pixels."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in _arrays().items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH), "w") as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0))


def _arrays() -> dict[str, NDArray[np.generic]]:
    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels).reshape(-1, 8, 8).astype(np.uint8)
    classes = np.asarray(labels).astype(np.int64)
    order = np.random.RandomState(0).permutation(len(images))
    found: dict[str, NDArray[np.generic]] = {}
    start = 0
    for split, size in _SIZES.items():
        rows = np.sort(order[start : start + size])
        found |= {f"x_{split}": images[rows], f"y_{split}": classes[rows]}
        start += size
    return found
