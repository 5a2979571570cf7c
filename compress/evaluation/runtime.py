"""The interface to ONNX Runtime: a quiet CPU session, raw pixel values in, logits out.

A file takes images and answers as its ``Signature`` says: with channels first or last, in its own
type, by logits or by probabilities. Whoever asks hands in ``(N, C, H, W)`` and gets logits. Of
several inputs and outputs an example and its answer hold all (``network.sources.ports.values``).

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import (
    onnxruntime_pybind11_state as failures,  # pyright: ignore[reportAttributeAccessIssue]
)
from torch import Tensor

from compress.evaluation.port_types import PORT_TYPES
from compress.network.signature import Signature
from compress.network.sources.ports import values
from compress.values.errors import ExportParityError, NumericalError

_UNLOADABLE = (
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NoSuchFile,
    failures.NotImplemented,
    failures.RuntimeException,
)
LEAST_LOGIT = float(np.log(np.finfo(np.float32).tiny))
"""The logarithm of a probability is taken for no less."""
# Activations of a batch live at the same time: bound the batch by its values, not its images.
_VALUES_PER_BATCH = 2**20
_MOST_IMAGES_PER_BATCH = 256


def session(
    model: bytes | Path,
    *,
    threads: int = 1,
    optimise: bool = True,
    dump: Path | None = None,
) -> onnxruntime.InferenceSession:
    """Open a model on the CPU, running one operator at a time with ``threads`` threads each.

    ``optimise=False`` runs the graph as written, one kernel per node. ``dump`` receives the graph
    that ONNX Runtime really executes. Raises ExportParityError for a file that it cannot load.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if dump is not None:
        options.optimized_model_filepath = str(dump)
    source = str(model) if isinstance(model, Path) else model
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except _UNLOADABLE as error:
        raise ExportParityError(f"ONNX Runtime cannot load the file: {error}") from error


def raw(x_NCHW: Tensor) -> NDArray[np.float32]:
    """Return raw values as every file takes them: float32, contiguous."""
    return x_NCHW.float().contiguous().numpy()


def batches(x_NCHW: Tensor) -> list[NDArray[np.float32]]:
    """Split raw values into float32 batches small enough for all activations to fit in memory."""
    values_per_image = max(1, prod(x_NCHW.shape[1:]))
    images = max(1, min(_MOST_IMAGES_PER_BATCH, _VALUES_PER_BATCH // values_per_image))
    return [raw(chunk) for chunk in x_NCHW.split(images)]


def feed(
    opened: onnxruntime.InferenceSession,
    x_NCHW: NDArray[np.float32],
    signature: Signature | None = None,
) -> dict[str, NDArray[Any]]:
    """Return raw values as this file takes them, by the names of its inputs."""
    if signature is not None:
        return dict(values.taken(x_NCHW, signature))
    taken = opened.get_inputs()[0]
    return {taken.name: x_NCHW.astype(PORT_TYPES[taken.type], copy=False)}


def outputs(
    opened: onnxruntime.InferenceSession,
    names: Sequence[str],
    *,
    x_NCHW: NDArray[np.float32],
    signature: Signature | None = None,
) -> list[NDArray[np.float32]]:
    """Return the named dense float outputs for one batch of raw values.

    Raises ExportParityError if the graph does not accept that many images: a size that a network
    reads as ``len(x)`` is constant in its graph, while ``x.shape[0]`` stays variable.
    """
    return outputs_of(opened, names, feed(opened, x_NCHW, signature), examples=len(x_NCHW))


def outputs_of(
    opened: onnxruntime.InferenceSession,
    names: Sequence[str],
    given: Mapping[str, NDArray[Any]],
    *,
    examples: int,
) -> list[NDArray[np.float32]]:
    """Return the named outputs for so many examples, given by the names of the inputs.

    Raises as ``outputs`` does.
    """
    try:
        return opened.run(list(names), dict(given))  # pyright: ignore[reportReturnType]
    except _UNLOADABLE as error:
        reason = str(error).splitlines()[0]
        raise ExportParityError(
            f"the file does not run on {examples} images; if the network reads len(x), let it "
            f"read x.shape[0], which a graph keeps variable: {reason}"
        ) from error


def answers(
    opened: onnxruntime.InferenceSession, x_NCHW: Tensor, *, signature: Signature | None = None
) -> NDArray[np.float32]:
    """Return logits ``(N, K)`` for raw values. Raises NumericalError unless all are finite.

    Those of a file that gives probabilities are their logarithms. What answers otherwise gives
    ``(N, L, K)``, or all of its outputs in one row, ``(N, D)``.
    """
    names = [port.name for port in opened.get_outputs()]
    names = names[:1] if signature is None else names
    parts: list[NDArray[np.float32]] = []
    for x in batches(x_NCHW):
        found = outputs(opened, names, x_NCHW=x, signature=signature)
        parts.append(found[0] if signature is None else values.answered(found, signature))
    logits_NK = np.concatenate(parts).astype(np.float32, copy=False)
    if signature is not None and signature.outputs[0].softmax:
        logits_NK = np.log(np.maximum(logits_NK, np.finfo(np.float32).tiny))
    if not np.isfinite(logits_NK).all():
        wrong = int((~np.isfinite(logits_NK.reshape(len(logits_NK), -1))).any(axis=1).sum())
        raise NumericalError(
            f"the file gave NaN or infinity for {wrong} of {len(logits_NK)} images"
        )
    return logits_NK
