"""Measure one ONNX file as it will ship: accuracy, bytes, memory and latency in ONNX Runtime.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import zstandard

from compress import peak_memory, runtime
from compress.errors import InvalidData
from compress.measurement import Latency, Measurement, Parity, Split
from compress.model import Artifact, ImageData, Images, ShouldStop, never

_DOWNLOAD_LEVEL = 19
_WARM_UP_CALLS = 5
_FEWEST_CALLS = 50
_MOST_CALLS = 5000
_TIMED_SECONDS = 0.3


def run(  # noqa: PLR0913 - what the trial knows of itself, by name
    artifact: Artifact,
    data: ImageData,
    *,
    splits: tuple[Split, ...],
    threads: int = 1,
    seconds: Mapping[str, float] | None = None,
    notes: tuple[str, ...] = (),
    should_stop: ShouldStop = never,
) -> Measurement:
    """Measure a file on the named splits, which must hold ``validation``.

    ``seconds`` says where the trial's time went so far; ``measure`` is added to it. Latency is
    that of one image with ``threads`` threads, and memory what a fresh process needs for it.
    Raises NumericalError when an answer is not finite, InvalidData when a split is missing or
    empty, Stopped, and an OSError when the process that measures memory fails.
    """
    started = time.perf_counter()
    opened = runtime.session(artifact.path, threads=threads)
    accuracy: dict[Split, float] = {
        split: _accuracy(opened, _images(data, split)) for split in splits
    }
    latency = _latency(opened, data.validation, threads=threads)
    loading = peak_memory.of_file(artifact.path, threads=threads, should_stop=should_stop)
    missing = (peak_memory.NOT_MEASURED,) if loading.peak_memory_bytes is None else ()
    return Measurement(
        accuracy=accuracy,
        size_bytes=artifact.path.stat().st_size,
        download_bytes=download_bytes(artifact.path),
        peak_memory_bytes=loading.peak_memory_bytes,
        load_ms=loading.load_ms,
        parameters=artifact.parameters,
        macs=artifact.macs,
        latency=latency,
        parity=Parity(
            max_abs_error=artifact.max_abs_error,
            agreement=artifact.agreement,
            images=artifact.parity_images,
        ),
        seconds={**(seconds or {}), "measure": time.perf_counter() - started},
        notes=(*artifact.notes, *notes, *missing),
    )


def download_bytes(path: Path) -> int:
    """Bytes of the file compressed with zstd at level 19, in one frame."""
    return len(zstandard.ZstdCompressor(level=_DOWNLOAD_LEVEL).compress(path.read_bytes()))


def accuracy_of_file(path: Path, images: Images, *, threads: int = 1) -> float:
    """Share of ``images`` whose best class in the file's answers is their label."""
    return _accuracy(runtime.session(path, threads=threads), images)


def _images(data: ImageData, split: Split) -> Images:
    images = {"train": data.train, "validation": data.validation, "test": data.test}[split]
    if images is None or len(images) == 0:
        raise InvalidData(f"the dataset has no {split} images to measure on")
    return images


def _accuracy(opened: onnxruntime.InferenceSession, images: Images) -> float:
    logits_NK = runtime.answers(opened, images.x_NCHW)
    return float((logits_NK.argmax(axis=1) == images.y_N.numpy()).mean())


def _latency(opened: onnxruntime.InferenceSession, images: Images, *, threads: int) -> Latency:
    feed = {runtime.INPUT: runtime.batches(images.x_NCHW[:1])[0]}
    for _ in range(_WARM_UP_CALLS):
        opened.run([runtime.OUTPUT], feed)
    calls_ms: list[float] = []
    ends = time.perf_counter() + _TIMED_SECONDS
    while len(calls_ms) < _FEWEST_CALLS or (
        len(calls_ms) < _MOST_CALLS and time.perf_counter() < ends
    ):
        started = time.perf_counter_ns()
        opened.run([runtime.OUTPUT], feed)
        calls_ms.append((time.perf_counter_ns() - started) / 1e6)
    median_ms, p95_ms = np.percentile(calls_ms, [50, 95])
    return Latency(median_ms=float(median_ms), p95_ms=float(p95_ms), threads=threads, batch=1)
