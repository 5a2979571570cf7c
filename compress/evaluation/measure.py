"""Measure one ONNX file as it will ship: quality, bytes, memory and latency in ONNX Runtime.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import torch
import zstandard

from compress.evaluation import bootstrap, latency, peak_memory, runtime
from compress.evaluation.latency import Beside
from compress.evaluation.peak_memory import Loading
from compress.network.network import Artifact, ShouldStop, never
from compress.network.signature import Signature
from compress.tasks.formats.words import Words
from compress.tasks.images import ImageData, Images
from compress.tasks.task import Task
from compress.values.errors import InvalidData
from compress.values.measurement import (
    FIRST_PRIMARY,
    MOST_CLASSES,
    PERTURBED_QUALITY,
    TRAIN_SAMPLE,
    Measurement,
    Metric,
    Parity,
    Split,
)
from compress.values.revision import ENGINE_REVISION

_DOWNLOAD_LEVEL = 19


def run(  # noqa: PLR0913 - what is measured and how, by name
    artifact: Artifact,
    data: ImageData,
    *,
    task: Task,
    splits: tuple[Split, ...],
    threads: int = 1,
    seconds: Mapping[str, float] | None = None,
    beside: Beside | None = None,
    should_stop: ShouldStop = never,
) -> Measurement:
    """Measure a file on the named splits, which must include ``validation``.

    ``seconds`` says where the trial's time went so far; ``measure`` is added to it. Latency is
    that of one image with ``threads`` threads, timed in turns with the file ``beside`` it (None if
    the file is the baseline's own). Memory is what a fresh process needs to load the file. Raises
    NumericalError for an answer that is not finite, InvalidData for a missing or empty split,
    Stopped, and an OSError if the process that measures memory fails.
    """
    started = time.perf_counter()
    opened = runtime.session(artifact.path, threads=threads)
    counted: dict[Split, Answered] = {
        split: _answered(opened, data, split, task, artifact.signature) for split in splits
    }
    timed = latency.measure(
        artifact.path,
        data.validation,
        threads=threads,
        beside=beside,
        signature=artifact.signature,
        should_stop=should_stop,
    )
    loading = _loading(artifact, threads, should_stop)
    return Measurement(
        primary=task.primary,
        **_figures(counted),
        **_form(artifact, data.words),
        peak_memory_bytes=loading.peak_memory_bytes,
        load_ms=loading.load_ms,
        parameters=artifact.parameters,
        macs=artifact.macs,
        latency=timed,
        parity=_parity(artifact),
        activation_observer=artifact.activation_observer,
        seconds={**(seconds or {}), "measure": time.perf_counter() - started},
        notes=(*artifact.notes, *_missing(loading)),
        engine_revision=ENGINE_REVISION,
    )


def _figures(counted: Mapping[Split, Answered]) -> dict[str, Any]:
    """How good the answers are, split by split."""
    found = counted.items()
    return {
        "accuracy": {s: each.accuracy for s, each in found if each.accuracy is not None},
        "intervals": {s: each.interval for s, each in found if each.interval is not None},
        "class_correct": {s: each.class_correct for s, each in found if each.class_correct},
        "quality": {s: dict(each.quality) for s, each in found},
    }


def _form(artifact: Artifact, words: Words | None) -> dict[str, Any]:
    """What the file is for, and its bytes in that form, alone and with its words."""
    size_bytes = artifact.path.stat().st_size
    beside = None if words is None else words.num_bytes(artifact.kept_words)
    return {
        "target": artifact.target,
        "runtimes": artifact.runtimes,
        "size_bytes": size_bytes,
        "package_bytes": None if beside is None else size_bytes + beside,
        "download_bytes": download_bytes(artifact.path),
    }


def _loading(artifact: Artifact, threads: int, should_stop: ShouldStop) -> Loading:
    ports = () if artifact.signature is None else artifact.signature.inputs
    shapes = [port.shape for port in ports]
    return peak_memory.of_file(
        artifact.path, threads=threads, shapes=shapes, should_stop=should_stop
    )


def _missing(loading: Loading) -> tuple[str, ...]:
    return (peak_memory.NOT_MEASURED,) if loading.peak_memory_bytes is None else ()


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The quality of a file's answers on one split.

    Attributes:
        accuracy: The share of right answers; None for a task that has another primary metric.
        class_correct: Right answers class by class; empty if they are not kept.
        quality: Every other metric of the answers.
        interval: 95 % interval of a primary metric other than accuracy.
    """

    accuracy: float | None = None
    class_correct: tuple[int, ...] = ()
    quality: Mapping[Metric, float]
    interval: tuple[float, float] | None = None

    def accuracies(self, split: Split) -> dict[Split, float]:
        """The accuracy as a measurement keeps it."""
        return {} if self.accuracy is None else {split: self.accuracy}

    def intervals(self, split: Split) -> dict[Split, tuple[float, float]]:
        """The interval as a measurement keeps it."""
        return {} if self.interval is None else {split: self.interval}


def on_split(
    path: Path,
    data: ImageData,
    split: Split,
    *,
    task: Task,
    threads: int = 1,
    signature: Signature | None = None,
) -> Answered:
    """Measure only the quality of a file's answers on one split.

    Raises NumericalError if an answer is not finite, InvalidData if the split is missing or
    empty, ExportParityError if ONNX Runtime cannot load the file.
    """
    return _answered(runtime.session(path, threads=threads), data, split, task, signature)


def download_bytes(path: Path) -> int:
    """Return the size in bytes of the file compressed with zstd at level 19, in one frame."""
    return len(zstandard.ZstdCompressor(level=_DOWNLOAD_LEVEL).compress(path.read_bytes()))


def accuracy_of_file(
    path: Path,
    images: Images,
    *,
    task: Task,
    threads: int = 1,
    signature: Signature | None = None,
) -> float:
    """The task's primary metric of the file's answers to ``images``, 0 to 1."""
    opened = runtime.session(path, threads=threads)
    outputs_NK = runtime.answers(opened, images.x_NCHW, signature=signature)
    return task.score(torch.from_numpy(outputs_NK), images.y_N)


def _parity(artifact: Artifact) -> Parity:
    return Parity(
        max_abs_error=artifact.max_abs_error,
        agreement=artifact.agreement,
        images=artifact.parity_images,
        equal_classes=artifact.equal_classes,
    )


def _images(data: ImageData, split: Split) -> Images:
    images = {"train": data.train, "validation": data.validation, "test": data.test}[split]
    if images is None or len(images) == 0:
        raise InvalidData(f"the dataset has no {split} images to measure on")
    return sample(images, most=TRAIN_SAMPLE) if split == "train" else images


def sample(images: Images, *, most: int) -> Images:
    """Take at most that many images, evenly spaced, because files are often sorted by class."""
    if len(images) <= most:
        return images
    chosen = torch.linspace(0, len(images) - 1, most, dtype=torch.float64).long()
    return Images(x_NCHW=images.x_NCHW[chosen], y_N=images.y_N[chosen])


def _answered(
    opened: onnxruntime.InferenceSession,
    data: ImageData,
    split: Split,
    task: Task,
    signature: Signature | None,
) -> Answered:
    images = _images(data, split)
    outputs_NK = runtime.answers(opened, images.x_NCHW, signature=signature)
    labels_N = images.y_N.numpy()
    figures = dict(task.quality(outputs_NK, labels_N))
    if split == "validation" and data.perturbed is not None:
        answers_NK = runtime.answers(opened, data.perturbed.x_NCHW, signature=signature)
        score = task.score(torch.from_numpy(answers_NK), data.perturbed.y_N)
        figures[PERTURBED_QUALITY] = score
    if task.primary != FIRST_PRIMARY:
        return Answered(quality=figures, interval=bootstrap.interval(task, outputs_NK, labels_N))
    accuracy = figures.pop(task.primary)
    if split == "train" or data.num_classes > MOST_CLASSES:
        return Answered(accuracy=accuracy, quality=figures)
    correct_K = task.class_correct(outputs_NK, labels_N)
    return Answered(accuracy=accuracy, class_correct=correct_K, quality=figures)
