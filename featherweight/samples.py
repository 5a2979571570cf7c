"""Sample datasets that come with the package, written the same to the last byte every time.

Equal bytes have equal digests, so a sample that was uploaded before is recognised.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_SPLIT_SEED = 0
_SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
# The zip format keeps a time for every member; its earliest is the same on every machine.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write(name: str, path: Path) -> None:
    """Write the sample ``name`` as an npz file. Raises KeyError if there is no such sample."""
    _write_npz(SAMPLES[name](), path)


def digits() -> dict[str, NDArray[np.generic]]:
    """Return the 1,797 scanned digits, split 60/20/20 per class, always the same way.

    ``x_<split>`` (N, 8, 8) is uint8 of 0 to 16, ``y_<split>`` is int64.
    """
    images, classes = scanned_digits()
    arrays: dict[str, NDArray[np.generic]] = {}
    for split, rows in _stratified(classes).items():
        arrays[f"x_{split}"] = images[rows]
        arrays[f"y_{split}"] = classes[rows]
    return arrays


def scanned_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (1797, 8, 8) of 0 to 16 and labels (1797,) of 0 to 9, in the order of their source.

    The source and its licence (CC BY 4.0) are named in ``sample_data/README.md``.
    """
    data = resources.files("featherweight") / "sample_data" / "digits.npz"
    with data.open("rb") as file, np.load(file) as arrays:
        return arrays["images"], arrays["labels"].astype(np.int64)


SAMPLES: Mapping[str, Callable[[], dict[str, NDArray[np.generic]]]] = {"digits": digits}


def _stratified(classes: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    # RandomState's stream of numbers is frozen for ever; Generator's may change between versions.
    random = np.random.RandomState(_SPLIT_SEED)
    rows: dict[str, list[NDArray[np.int64]]] = {split: [] for split in _SHARES}
    for label in np.unique(classes):
        members = random.permutation(np.flatnonzero(classes == label))
        cuts = np.cumsum([round(len(members) * share) for share in _SHARES.values()])[:-1]
        for split, part in zip(_SHARES, np.split(members, cuts), strict=True):
            rows[split].append(part)
    return {split: np.sort(np.concatenate(parts)) for split, parts in rows.items()}


def _write_npz(arrays: Mapping[str, NDArray[np.generic]], path: Path) -> None:
    # Stored, not deflated: zlib's output differs between its versions.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH), "w") as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0))
