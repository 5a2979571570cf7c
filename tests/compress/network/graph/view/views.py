"""Graphs of the shared networks as torch modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.evaluation import runtime
from compress.network.graph.read import read
from compress.network.graph.shapes import bind
from compress.network.graph.values import Graph, GraphPort, Node
from compress.network.graph.view.module import GraphModule
from tests.compress.onnx_networks import NETWORKS, example


def bound(graph: Graph, name: str, batch: int = 2) -> GraphModule:
    """The torch view of a graph for inputs of the shared network's size."""
    [port] = graph.inputs
    shape = example(name, batch)[port.name].shape
    sizes = {axis: n for axis, n in zip(port.shape, shape, strict=True) if isinstance(axis, str)}
    return GraphModule(graph, bind(graph, sizes))


def view_of(data: bytes, name: str) -> GraphModule:
    """The torch view of a file of the shared network of that name."""
    return bound(read(data), name)


def answers(
    module: GraphModule, given: dict[str, NDArray[np.generic]]
) -> list[NDArray[np.generic]]:
    """What a module answers, as a list of arrays, whether it gives one or several."""
    [port] = module.program.graph.inputs
    with torch.no_grad():
        found = module(torch.from_numpy(given[port.name]))
    return [each.numpy() for each in ([found] if isinstance(found, Tensor) else found)]


def answers_of_file(
    data: bytes, given: dict[str, NDArray[np.generic]]
) -> list[NDArray[np.generic]]:
    """What ONNX Runtime answers for a file."""
    return [np.asarray(each) for each in runtime.session(data).run(None, given)]


def assert_alike(ours: list[NDArray[np.generic]], theirs: list[NDArray[np.generic]]) -> None:
    """Every number within 1e-4 of the spread of its answer."""
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= 1e-4 * max(float(np.ptp(other)), 1e-6)


ALL = tuple(NETWORKS)


def node(op: str, inputs: tuple[str, ...], output: str, **attributes: Any) -> Node:
    """A node called ``the OP``."""
    return Node(op=op, name=f"the {op}", inputs=inputs, outputs=(output,), attributes=attributes)


def rows(*nodes: Node, **tensors: Any) -> Graph:
    """A graph from rows of four floats to the output of its last node."""
    held = {name: np.asarray(values, np.float32) for name, values in tensors.items()}
    port = GraphPort(name="x", dtype="float32", shape=("N", 4))
    answer = GraphPort(name=nodes[-1].output, dtype="float32", shape=("N", 4))
    return Graph(inputs=(port,), outputs=(answer,), nodes=nodes, tensors=held)


def viewed(graph: Graph) -> GraphModule:
    """The torch view of a graph whose batch axis is ``N``."""
    return GraphModule(graph, bind(graph, {"N": 2}))
