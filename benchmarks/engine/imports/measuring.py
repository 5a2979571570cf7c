"""What one file of the list costs and gives: reading, the torch view, couplings, counts.

Seconds are CPU seconds of one thread, without the start of a process. The error of the torch view
is measured against ONNX Runtime without its optimisations, in parts of the spread of an answer, its
largest number less its smallest; so is the error of ONNX Runtime's own optimised session.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from benchmarks.engine.imports.files import Array, ListedFile
from compress.network.graph import counting
from compress.network.graph.coupling import couplings
from compress.network.graph.read import read
from compress.network.graph.shapes import bind
from compress.network.graph.values import Graph, GraphPort
from compress.network.graph.view.module import GraphModule
from compress.network.graph.write import write
from compress.network.sources import onnx_trial

_BATCH, _OTHERWISE = 2, 64


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was measured of a file that came in."""

    read_seconds: float
    coupling_seconds: float
    error: float
    runtime_error: float
    parameters: int
    groups: int
    channels: int
    operators: Mapping[str, int]


def measure(file: ListedFile, data: bytes) -> Imported:
    """Read, run and couple a file. Raises InvalidNetwork if it is refused."""
    began = time.process_time()
    graph = read(data)
    seconds = time.process_time() - began
    shapes = bind(graph, _sizes(graph, file.shape))
    began = time.process_time()
    found = couplings.couple(graph, shapes)
    counts = counting.count(graph, shapes)
    coupling_seconds = time.process_time() - began
    error, runtime_error = _errors(file, data, graph)
    return Imported(
        read_seconds=seconds,
        coupling_seconds=coupling_seconds,
        error=error,
        runtime_error=runtime_error,
        parameters=counts.parameters,
        groups=len(found.groups),
        channels=sum(group.num_channels for group in found.groups),
        operators=Counter(node.op for node in graph.nodes),
    )


def _errors(file: ListedFile, data: bytes, graph: Graph) -> tuple[float, float]:
    """The error of the view, and that of ONNX Runtime with its optimisations."""
    sizes = _sizes(graph, file.shape)
    given = onnx_trial.drawn(graph, sizes, seed=0)
    if file.given is not None:
        first = graph.inputs[0]
        given[first.name] = file.given(given[first.name].shape).astype(first.dtype)
    expected = onnx_trial.answers_of_file(data, graph, given)
    optimised = _optimised(graph, given)
    with torch.no_grad():
        module = GraphModule(graph, bind(graph, sizes))
        tensors = [torch.from_numpy(given[port.name]) for port in graph.inputs]
        answer = module(tensors if len(tensors) > 1 else tensors[0])
    answers = [each.numpy() for each in ([answer] if isinstance(answer, Tensor) else answer)]
    return _largest(answers, expected), _largest(optimised, expected)


def _optimised(graph: Graph, given: Mapping[str, Array]) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    model = write(graph).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [np.asarray(each) for each in session.run(None, dict(given))]


def _largest(found: list[Array], expected: list[Array]) -> float:
    pairs = zip(found, expected, strict=True)
    return max(float(np.abs(a - b).max()) / max(float(np.ptp(b)), 1e-12) for a, b in pairs)


def _sizes(graph: Graph, shape: tuple[int, ...]) -> dict[str, int]:
    """The size of every free axis: those of the first input as listed, then 64."""
    sizes: dict[str, int] = {}
    for number, port in enumerate(graph.inputs):
        for axis, word in enumerate(port.shape):
            if isinstance(word, str) and word not in sizes:
                sizes[word] = _size(port, axis, shape if number == 0 else ())
    return sizes


def _size(port: GraphPort, axis: int, shape: tuple[int, ...]) -> int:
    # The states of recurrent layers have the batch behind the layers.
    if axis == 0 or port.shape[axis] == "batch":
        return _BATCH
    return shape[axis - 1] if len(shape) == len(port.shape) - 1 else _OTHERWISE
