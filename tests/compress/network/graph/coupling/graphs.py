"""Graphs of a few nodes, and runs of graphs in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from compress.evaluation import runtime
from compress.network.graph.coupling.couplings import couple
from compress.network.graph.coupling.groups import Couplings
from compress.network.graph.read import read
from compress.network.graph.shapes import bind
from compress.network.graph.values import Array, Graph, GraphPort, Node, Shapes
from compress.network.graph.write import write
from tests.compress.onnx_networks import example, exported

Size = int | str


def node(op: str, inputs: Sequence[str], outputs: str | Sequence[str], **attributes: Any) -> Node:
    """A node, named like its first output."""
    made = (outputs,) if isinstance(outputs, str) else tuple(outputs)
    return Node(op=op, name=made[0], inputs=tuple(inputs), outputs=made, attributes=attributes)


def graph(*nodes: Node, x: Sequence[Size] = ("N", 3, 8, 8), **shapes: Any) -> Graph:
    """A network from ``x`` to what its last node makes.

    A tuple of sizes gives a constant of random numbers; a list, whole numbers.
    """
    random = np.random.default_rng(0)
    tensors = {name: _constant(value, random) for name, value in shapes.items()}
    tensors = {name.replace("__", "."): value for name, value in tensors.items()}
    last = GraphPort(name=nodes[-1].output, dtype="float32", shape=())
    port = GraphPort(name="x", dtype="float32", shape=tuple(x))
    bare = Graph(inputs=(port,), outputs=(last,), nodes=nodes, tensors=tensors)
    shape = ("N", *bind(bare, {"N": 2})[last.name][1:])
    port_out = GraphPort(name=last.name, dtype="float32", shape=shape)
    return Graph(inputs=(port,), outputs=(port_out,), nodes=nodes, tensors=tensors)


def _constant(value: Any, random: np.random.Generator) -> Array:
    if isinstance(value, list | int):
        return np.array(value, np.int64)
    if isinstance(value, np.ndarray):
        return value
    return random.uniform(0.2, 1.0, value).astype(np.float32)


def bound(whole: Graph, batch: int = 2) -> Shapes:
    """The shapes for inputs of which only the batch is free."""
    return bind(whole, {"N": batch})


def coupled(whole: Graph) -> Couplings:
    """The couplings of a graph of which only the batch is free."""
    return couple(whole, bound(whole))


def sizes(whole: Graph) -> dict[str, int]:
    """How many channels each group has."""
    return {group.root: group.num_channels for group in coupled(whole).groups}


def network(name: str, **form: Any) -> tuple[Graph, Shapes]:
    """A shared network, and its shapes for two examples."""
    whole = read(exported(name, **form))
    given = example(name)["input"].shape
    axes = zip(whole.inputs[0].shape, given, strict=True)
    return whole, bind(whole, {axis: size for axis, size in axes if isinstance(axis, str)})


def runner(shapes: Shapes, *, words: int | None = None) -> Callable[[Graph], list[Array]]:
    """Runs graphs on the same two inputs, in ONNX Runtime as they are written."""

    def run(whole: Graph) -> list[Array]:
        random = np.random.default_rng(1)
        given: Mapping[str, Array] = {
            port.name: random.standard_normal(shapes[port.name]).astype(np.float32)
            if words is None
            else random.integers(0, words, shapes[port.name])
            for port in whole.inputs
        }
        opened = runtime.session(write(whole).SerializeToString(), optimise=False)
        return [np.asarray(one) for one in opened.run(None, dict(given))]

    return run


CONV = {"w": (6, 3, 1, 1), "v": (2, 6, 1, 1)}


def between(*nodes, **tensors):
    """A convolution with six filters ``made``, these nodes up to ``seen``, and a reader."""
    first, last = node("Conv", ("x", "w"), "made"), node("Conv", ("seen", "v"), "answer")
    return graph(first, *nodes, last, **{**CONV, **tensors})


def channels_of(whole, root):
    """What each channel of a group owns: constants, axes and slices, by channel."""
    (group,) = (one for one in coupled(whole).groups if one.root == root)
    owned = [set() for _ in range(group.num_channels)]
    for held in group.slices:
        for channel, place in zip(held.channel_S, held.slice_S, strict=True):
            owned[channel].add((held.tensor, held.axis, int(place)))
    return owned


def reason(whole, layer="made"):
    found = coupled(whole)
    assert layer not in {group.root for group in found.groups}
    return found.fixed[layer]
