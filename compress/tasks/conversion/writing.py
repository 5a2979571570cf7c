"""Write a dataset as the house keeps it: an npz whose arrays lie in it as they are. Torch-free.

The same arrays give the same bytes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from compress.tasks.formats import npz
from compress.values.errors import InvalidData

_EPOCH = (1980, 1, 1, 0, 0, 0)


class DatasetWriter:
    """An npz file that is being written, array by array, each piece by piece."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Write into an open archive."""
        self._archive = archive

    def add(
        self, name: str, shape: tuple[int, ...], dtype: str, pieces: Iterable[NDArray[np.generic]]
    ) -> None:
        """Write an array whose pieces along the first axis come one after the other.

        Raises InvalidData if it is larger than a dataset may be.
        """
        size = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
        if size > npz.MAX_BYTES:
            raise InvalidData(
                f"{name} would have {size:,} bytes with shape {shape} of {dtype}, more than "
                f"{npz.MAX_BYTES:,}: send fewer or smaller examples"
            )
        header = {
            "descr": npy.dtype_to_descr(np.dtype(dtype)),
            "fortran_order": False,
            "shape": shape,
        }
        entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
        with self._archive.open(entry, "w", force_zip64=True) as file:
            npy.write_array_header_1_0(file, header)
            for piece in pieces:
                file.write(np.ascontiguousarray(piece, dtype).tobytes())

    def add_labels(self, name: str, labels_N: NDArray[np.int64]) -> None:
        """Write the labels of a split."""
        self.add(name, labels_N.shape, "<i8", [labels_N])

    def add_texts(self, name: str, texts: Sequence[str]) -> None:
        """Write some texts."""
        array = np.array(texts)
        self.add(name, array.shape, array.dtype.newbyteorder("<").str, [array])


@contextmanager
def dataset_writer(file: IO[bytes]) -> Iterator[DatasetWriter]:
    """Write an npz into a file that can seek."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        yield DatasetWriter(archive)
