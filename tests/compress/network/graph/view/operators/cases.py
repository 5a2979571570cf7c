"""Nodes with inputs of their own, and what ONNX Runtime answers for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper

from compress.evaluation import runtime
from compress.network.graph.shapes import bind
from compress.network.graph.values import Graph, GraphPort, Node
from compress.network.graph.view.module import GraphModule
from compress.network.graph.write import write

_DRAW = np.random.default_rng(0)
Array = NDArray[Any]


def floats(*shape: int) -> Array:
    """Normal numbers."""
    return _DRAW.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> Array:
    """Whole numbers, as sizes and axes are."""
    return np.asarray(values, np.int64)


MAP = floats(2, 6, 8, 10)
ROWS = floats(2, 5, 6)
POSITIVE = np.abs(MAP) + 0.5
INSIDE = np.tanh(MAP)
FLAGS = MAP > 0
IN_CASE = ("op", "inputs", "outputs", "varies", "attributes")


def case(
    op: str,
    inputs: Sequence[Any],
    *,
    name: str = "",
    outputs: int = 1,
    varies: int | tuple[int, ...] = 1,
    **attributes: Any,
) -> Any:
    """A node on these inputs; those in the places ``varies``, or so many, are the network's own."""
    varies = tuple(range(varies)) if isinstance(varies, int) else varies
    return pytest.param(op, inputs, outputs, varies, attributes, id=f"{op} {name}".strip())


def assert_computes(
    op: str,
    inputs: Sequence[Any],
    outputs: int,
    varies: tuple[int, ...],
    attributes: dict[str, Any],
) -> None:
    """The torch view of one node answers as ONNX Runtime does, in the same types."""
    graph, expected, given = graph_of(op, inputs, outputs, varies, attributes)
    module = GraphModule(graph, bind(graph, {}))
    tensors = [torch.from_numpy(np.array(value)) for value in given]
    with torch.no_grad():
        found = module(tensors[0] if len(tensors) == 1 else tensors)
    for ours, theirs in zip(found if outputs > 1 else [found], expected, strict=True):
        assert ours.dtype == torch.from_numpy(theirs).dtype
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5, rtol=1e-5)


def tried(cases: Sequence[Any]) -> set[str]:
    """The operators of some cases."""
    return {case.values[0] for case in cases}


def graph_of(
    op: str,
    inputs: Sequence[Any],
    outputs: int,
    varies: tuple[int, ...],
    attributes: dict[str, Any],
) -> tuple[Graph, list[Array], list[Array]]:
    """A graph of one node; constants are those that do not vary, and ports have fixed sizes."""
    names = [f"x{i}" if value is not None else "" for i, value in enumerate(inputs)]
    fixed = (i for i, v in enumerate(inputs) if v is not None and i not in varies)
    tensors = {names[i]: inputs[i] for i in fixed}
    node = Node(
        op=op,
        name="node",
        inputs=tuple(names),
        outputs=tuple(f"y{i}" for i in range(outputs)),
        attributes=attributes,
    )
    ports = [
        GraphPort(name=names[i], dtype=str(inputs[i].dtype), shape=inputs[i].shape) for i in varies
    ]
    found = answers_of(node, ports, tensors, [inputs[i] for i in varies])
    answered = [
        GraphPort(name=name, dtype=str(value.dtype), shape=value.shape)
        for name, value in zip(node.outputs, found, strict=True)
    ]
    graph = Graph(inputs=tuple(ports), outputs=tuple(answered), nodes=(node,), tensors=tensors)
    return graph, found, [inputs[i] for i in varies]


def answers_of(
    node: Node, ports: Sequence[GraphPort], tensors: dict[str, Array], given: Sequence[Array]
) -> list[Array]:
    """What ONNX Runtime answers for a graph of one node."""
    untyped = [helper.make_empty_tensor_value_info(name) for name in node.outputs]
    bare = Graph(inputs=tuple(ports), outputs=(), nodes=(node,), tensors=tensors)
    model = write(bare)
    model.graph.output.extend(untyped)
    session = runtime.session(model.SerializeToString(), optimise=False)
    return [
        np.asarray(each)
        for each in session.run(None, {p.name: v for p, v in zip(ports, given, strict=True)})
    ]
