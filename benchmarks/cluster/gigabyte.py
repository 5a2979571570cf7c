"""What it takes to look into a dataset of a gigabyte: seconds, and memory of both processes.

Bound: the same memory as for small ones, which the inspection's own limit and a few pieces are.
"""

from __future__ import annotations

import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from benchmarks.cluster.processes import Cluster
from benchmarks.record import Table, keeps
from compress.tasks.conversion import writing
from featherweight.client.client import Client

_GIGABYTE = 10**9
_SIDE, _CLASSES = 96, 10
_LOOK_SECONDS = 0.05
_MEBIBYTE = 2**20


@keeps("cluster/gigabyte", "What does it take to look into a dataset of a gigabyte?")
def main(table: Table) -> None:
    """Send a file of every kind, and print seconds and the most memory that each process had."""
    for what, write in (
        ("npz as it is kept", _plain),
        ("npz to be made over: NCHW, texts as labels", _odd),
        ("zip of pictures", _zipped),
    ):
        with Cluster(workers=0, searcher=False) as cluster, Client(cluster.url) as client:
            path = cluster.folder / ("given.zip" if write is _zipped else "given.npz")
            size = write(path)
            cluster.wait_healthy()
            with _watched(cluster.service) as peaks:
                began = time.perf_counter()
                client.upload_dataset(path, name="large")
                seconds = time.perf_counter() - began
        row = {
            "file": what,
            "bytes": size,
            "s": round(seconds, 1),
            "the service's memory before, MiB": peaks.before // _MEBIBYTE,
            "at most, MiB": peaks.service // _MEBIBYTE,
            "the child's at most, MiB": peaks.child // _MEBIBYTE,
        }
        print(row)
        table.add(row)


@dataclass
class _Peaks:
    """The most resident bytes of the service and of its largest child."""

    before: int
    service: int = 0
    child: int = 0

    def look(self, service: psutil.Process) -> None:
        self.service = max(self.service, service.memory_info().rss)
        for child in service.children(recursive=True):
            try:
                self.child = max(self.child, child.memory_info().rss)
            except psutil.NoSuchProcess:
                continue


@contextmanager
def _watched(service: psutil.Process) -> Iterator[_Peaks]:
    peaks, is_over = _Peaks(before=service.memory_info().rss), threading.Event()

    def watch() -> None:
        while not is_over.wait(_LOOK_SECONDS):
            peaks.look(service)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        is_over.set()
        thread.join()


def _plain(path: Path) -> int:
    count = _GIGABYTE // (_SIDE * _SIDE * 3)
    return _npz(path, (count, _SIDE, _SIDE, 3), np.arange(count) % _CLASSES)


def _odd(path: Path) -> int:
    count = _GIGABYTE // (_SIDE * _SIDE * 3)
    return _npz(path, (count, 3, _SIDE, _SIDE), np.array(list("abcdefghij"))[np.arange(count) % 10])


def _npz(path: Path, shape: tuple[int, ...], labels: NDArray[np.generic]) -> int:
    with path.open("wb") as file, writing.dataset_writer(file) as writer:
        writer.add("x_train", shape, "|u1", _noise(shape))
        writer.add("y_train", labels.shape, labels.dtype.str, [labels])
    return path.stat().st_size


def _noise(shape: tuple[int, ...]) -> Iterator[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    for _ in range(shape[0]):
        yield rng.integers(0, 256, (1, *shape[1:]), dtype=np.uint8)


def _zipped(path: Path) -> int:
    """Write pngs of noise, which nothing makes smaller."""
    shape = (_GIGABYTE // (_SIDE * _SIDE * 3), _SIDE, _SIDE, 3)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number, pixels in enumerate(_noise(shape)):
            picture = BytesIO()
            Image.fromarray(pixels[0]).save(picture, "PNG", compress_level=1)
            archive.writestr(f"class-{number % _CLASSES}/{number}.png", picture.getvalue())
    return path.stat().st_size


if __name__ == "__main__":
    main()
