"""A stranger's network run in ONNX Runtime: whether a graph answers as its file. Torch-free.

So is proven that channels may leave it.

Only a process with bounds on memory and time should do this: whoever made the file decides what
runs. Sessions have one thread and no arena, and open no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto
from onnxruntime.capi import (
    onnxruntime_pybind11_state as failures,  # pyright: ignore[reportAttributeAccessIssue]
)

from compress.network.graph import counting
from compress.network.graph.coupling import proof
from compress.network.graph.coupling.couplings import couple
from compress.network.graph.coupling.proof import Answer
from compress.network.graph.roles import roles
from compress.network.graph.shapes import bind
from compress.network.graph.values import Array, Graph, GraphPort
from compress.network.graph.write import write
from compress.network.signature import BATCH
from compress.values.errors import InvalidNetwork

_CLOSE = 1e-4
"""The largest error of a graph, in parts of the spread of its file's answers."""
_COARSE = 0.05
"""The same for a file whose own numbers are of 16 bits or on grids of integers."""
_HALVES = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})
_IMAGES, _SEED, _RUNS = 2, 0, 3
_MOST_MACS = 2e11
"""What all trials of removal together may multiply, some ten seconds of a core."""
_LEAST_TRIALS, _MOST_TRIALS = 1, 200
_WHOLE = frozenset({TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32, TensorProto.INT64})
_FEW = 2
"""Whole numbers are drawn below this if they pick nothing from a table."""
_NO_MEMORY = "bad_alloc"
"""What ONNX Runtime says where memory has an end."""
_FAILURES = (
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NotImplemented,
    failures.RuntimeException,
)


def drawn(graph: Graph, sizes: Mapping[str, int], *, seed: int) -> dict[str, Array]:
    """Draw inputs of these sizes: normal numbers, and integers that every table has a row for."""
    random = np.random.default_rng(seed)
    return {port.name: _drawn(port, graph, sizes, random) for port in graph.inputs}


def _drawn(
    port: GraphPort, graph: Graph, sizes: Mapping[str, int], random: np.random.Generator
) -> Array:
    shape = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in port.shape)
    if port.dtype.startswith("float") and not _is_counted(graph, port.name):
        return random.standard_normal(shape).astype(port.dtype)
    return random.integers(0, rows_of(graph, port.name) or _FEW, shape).astype(port.dtype)


def _is_counted(graph: Graph, name: str) -> bool:
    """Whether whatever reads these numbers takes them for whole ones."""
    readers = [node for node in graph.nodes if name in node.inputs]
    return bool(readers) and all(
        node.op == "Cast" and node.attributes.get("to") in _WHOLE for node in readers
    )


def num_ids(graph: Graph, port: GraphPort) -> int | None:
    """The rows of the shortest table that a port of integers picks from; None if it picks none."""
    return None if port.dtype.startswith("float") else rows_of(graph, port.name)


def rows_of(graph: Graph, name: str) -> int | None:
    """The rows of the shortest table that these integers may pick from; None if they pick none."""
    names, rows = {name}, list[int]()
    for node in graph.nodes:
        if not names.intersection(node.inputs):
            continue
        if node.op == "Gather" and node.inputs[0] in graph.tensors:
            rows.append(graph.tensors[node.inputs[0]].shape[node.integer("axis", 0)])
        elif all(role.kind in {"data", "shape", "index"} for role in roles(node)):
            names.update(node.outputs)
    return min(rows, default=None)


def run(model: bytes, given: Mapping[str, Array]) -> list[Array]:
    """Answer with every output of a file, one kernel for each of its nodes.

    Raises InvalidNetwork if ONNX Runtime does not take the file, MemoryError if it has too little.
    """
    try:
        return answers(model, given, optimise=False)
    except InvalidNetwork as error:
        raise InvalidNetwork(f"{error}; run it in ONNX Runtime before it is uploaded") from error


def answers(
    model: bytes,
    given: Mapping[str, Array],
    names: Sequence[str] | None = None,
    *,
    optimise: bool = True,
) -> list[Array]:
    """Answer with the named outputs, or with all. Raises as ``run`` does."""
    (found,) = answers_to(model, [given], names, optimise=optimise)
    return found


def answers_to(
    model: bytes,
    every: Iterable[Mapping[str, Array]],
    names: Sequence[str] | None = None,
    *,
    optimise: bool = True,
) -> list[list[Array]]:
    """Answer to each of several inputs as ``answers`` does; the file is loaded once."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return [_answered(session, given, names) for given in every]
    except _FAILURES as error:
        if _NO_MEMORY in str(error):
            raise MemoryError(str(error)[:300]) from error
        reason = " ".join(str(error).split())[:300]
        raise InvalidNetwork(f"ONNX Runtime does not run the file: {reason}") from error


def _answered(
    session: onnxruntime.InferenceSession, given: Mapping[str, Array], names: Sequence[str] | None
) -> list[Array]:
    taken = {port.name: given[port.name] for port in session.get_inputs()}
    return [np.asarray(each) for each in session.run(names, taken)]


def answering(given: Mapping[str, Array]) -> Answer:
    """Make what runs a graph on these inputs, for proofs that channels may leave."""

    def answer(graph: Graph) -> Sequence[Array]:
        return run(write(graph).SerializeToString(), given)

    return answer


def unproven(working: Graph) -> Mapping[str, str]:
    """Return the roots of the groups whose channels are not shown to leave as they should, and why.

    It is a function of the file alone, so its inspection and everybody who loads it agree.
    ``working`` is a network in its inner form (``onnx_form.inner``). It runs in ONNX Runtime with
    channels that are drawn at random taken out, and with what reads them zeroed.
    """
    shapes = bind(working, {BATCH: _IMAGES})
    couplings = couple(working, shapes)
    if not couplings.groups:
        return {}
    proven = proof.prove(
        working,
        shapes,
        couplings,
        answering(drawn(working, {BATCH: _IMAGES}, seed=_SEED)),
        seed=_SEED,
        most_trials=_trials(counting.count(working, shapes).macs),
    )
    stay = {group.root for group in couplings.groups} - {group.root for group in proven.groups}
    return {root: why for root, why in proven.fixed.items() if root in stay}


def _trials(macs: int) -> int:
    """Return how many trials are made of a network of so many multiply-accumulates a run."""
    affordable = int(_MOST_MACS // (_RUNS * max(macs, 1)))
    return max(_LEAST_TRIALS, min(_MOST_TRIALS, affordable))


def check_parity(data: bytes, graph: Graph, given: Mapping[str, Array]) -> float:
    """Compare the graph with the file that it was read from, on these inputs.

    Returns the largest error in parts of the spread of the file's answers. Raises InvalidNetwork
    naming the output if that is more than 1e-4, or 0.05 for files of 16 bits or with quantizers.
    """
    model = ModelProto.FromString(data)
    expected = answers_of_file(data, graph, given)
    found = run(write(graph).SerializeToString(), _as_in_file(graph, given))
    errors = [_error(one, other) for one, other in zip(found, expected, strict=True)]
    limit = _COARSE if _is_coarse(model) else _CLOSE
    for port, error in zip(graph.outputs, errors, strict=True):
        if not error <= limit:
            raise InvalidNetwork(
                f"output {port.name[:80]!r} differs from the file's by {error:.2g} of its spread, "
                f"at most {limit:g} is taken: export the network with another opset, such as 17"
            )
    return max(errors)


def _as_in_file(graph: Graph, given: Mapping[str, Array]) -> dict[str, Array]:
    halves = {port.name for port in graph.inputs if port.file_dtype == "float16"}
    return {n: value.astype(np.float16) if n in halves else value for n, value in given.items()}


def answers_of_file(data: bytes, graph: Graph, given: Mapping[str, Array]) -> list[Array]:
    """The answers of the file that the graph was read from; row by row if it takes one row.

    Raises InvalidNetwork if ONNX Runtime does not take the file.
    """
    single = _single_axes(ModelProto.FromString(data), graph)
    given = _as_in_file(graph, given)
    if not single:
        return run(data, given)
    rows = range(min(given[name].shape[axis] for name, axis in single.items()))
    answers = [
        run(data, {n: _row(v, single.get(n), row) for n, v in given.items()}) for row in rows
    ]
    outputs = zip(graph.outputs, *answers, strict=True)
    return [np.concatenate(each, _batch_axis(port)) for port, *each in outputs]


def _single_axes(model: ModelProto, graph: Graph) -> dict[str, int]:
    """The axis of each input that is free in the graph, and 1 in the file."""
    said = {port.name: port.type.tensor_type.shape.dim for port in model.graph.input}
    return {
        port.name: axis
        for port in graph.inputs
        for axis, size in enumerate(port.shape)
        if isinstance(size, str) and said[port.name][axis].dim_value == 1
    }


def _row(values: Array, axis: int | None, row: int) -> Array:
    return values if axis is None else values.take([row], axis)


def _batch_axis(port: GraphPort) -> int:
    """The first axis that is free; states of recurrent layers have layers in front of it."""
    return next((axis for axis, size in enumerate(port.shape) if isinstance(size, str)), 0)


def _is_coarse(model: ModelProto) -> bool:
    types = {tensor.data_type for tensor in model.graph.initializer}
    types |= {port.type.tensor_type.elem_type for port in model.graph.input}
    quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    return quantized or bool(types & _HALVES)


def _error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest difference over the spread; infinite for other shapes or what is no number."""
    if found.shape != expected.shape:
        return float("inf")
    one, other = found.astype(np.float64), expected.astype(np.float64)
    if not (np.isfinite(one) == np.isfinite(other)).all():
        return float("inf")
    finite = np.isfinite(other)
    if not finite.any():
        return 0.0
    spread = max(float(other[finite].std()), 1e-6)
    return float(np.abs(one - other)[finite].max()) / spread
