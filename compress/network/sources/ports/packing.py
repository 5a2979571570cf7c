"""Several inputs unpacked from one, and several outputs packed into one. Torch-free.

Within this program a network has one input and one output. ``compress.export.ports`` takes these
nodes out again where a file is written.

Legend: N examples, P parts, L length, D numbers of all parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from compress.network.graph.rewiring import free_name, names_of
from compress.network.graph.values import Array, Graph, GraphPort, Node
from compress.network.signature import INPUT, ExampleShape, is_stacked
from compress.network.sources.ports import made
from compress.network.sources.ports.made import ELEMENTS
from compress.network.sources.ports.onnx_ports import ExamplePorts

_ROWS, _SEQUENCES = 2, 3
_PACKED = "packed"


def with_one_output(graph: Graph, ranks: Sequence[int]) -> Graph:
    """Lay all outputs, each flat, one after the other; one of two or three axes stays as it is."""
    if len(ranks) == 1 and ranks[0] in {_ROWS, _SEQUENCES}:
        return graph
    taken, nodes, parts = names_of(graph), list(graph.nodes), list[str]()
    for port in graph.outputs:
        flat = list(_flattened(port, taken))
        taken.update(node.output for node in flat)
        nodes += flat
        parts.append(flat[-1].output)
    if len(parts) > 1:
        name = free_name(_PACKED, taken)
        join = Node(
            op="Concat",
            name=name,
            inputs=tuple(parts),
            outputs=(name,),
            attributes={"axis": 1},
        )
        nodes.append(join)
        parts = [name]
    output = GraphPort(name=parts[0], dtype="float32", shape=graph.outputs[0].shape[:1])
    return replace(graph, nodes=tuple(nodes), outputs=(output,))


def _flattened(port: GraphPort, taken: set[str]) -> Iterator[Node]:
    name = port.name
    if port.dtype != "float32":
        made = free_name(f"{port.name}.float", taken)
        yield _cast(name, made, "float32")
        name = made
    flat = free_name(f"{port.name}.flat", taken | {name})
    yield Node(op="Flatten", name=flat, inputs=(name,), outputs=(flat,), attributes={"axis": 1})


def with_one_input(graph: Graph, ports: ExamplePorts) -> Graph:
    """Let the inputs of the graph, named as they are in it, be parts of ``input``."""
    taken = names_of(graph) | {INPUT}
    tensors, nodes = dict(graph.tensors), list[Node]()
    begin, stacked = 0, is_stacked(ports.parts)
    parts = iter(ports.parts)
    for port, file_port in zip(graph.inputs, ports.inputs, strict=True):
        if file_port.name in ports.made:
            nodes += made.nodes(port, ports.made[file_port.name], taken)
            continue
        shape = next(parts)
        count = 1 if stacked else prod(shape)
        if len(ports.parts) == 1:
            nodes.append(_cast(INPUT, port.name, port.dtype))
        else:
            nodes += _part(port, shape, (begin, begin + count), stacked, taken, tensors)
        begin += count
    return replace(graph, nodes=(*nodes, *graph.nodes), tensors=tensors)


def _part(
    port: GraphPort,
    shape: ExampleShape,
    ends: tuple[int, int],
    stacked: bool,
    taken: set[str],
    tensors: dict[str, Array],
) -> Iterator[Node]:
    """Cut one part out of ``input``, in its shape and type."""

    def constant(word: str, values: Sequence[int]) -> str:
        name = free_name(f"{port.name}.{word}", taken)
        taken.add(name)
        tensors[name] = np.asarray(values, np.int64)
        return name

    begin, end = ends
    cut = (constant("begin", [begin]), constant("end", [end]), constant("axis", [1]))
    steps: list[tuple[str, tuple[str, ...]]] = [("Slice", cut)]
    if stacked:
        steps.append(("Squeeze", (cut[2],)))
    elif len(shape) != 1:
        steps.append(("Reshape", (constant("shape", [-1, *shape]),)))
    name = INPUT
    for number, (op, constants) in enumerate(steps):
        is_last = number == len(steps) - 1 and port.dtype == "float32"
        made = port.name if is_last else free_name(f"{port.name}.{op.lower()}", taken)
        taken.add(made)
        yield Node(op=op, name=made, inputs=(name, *constants), outputs=(made,))
        name = made
    if port.dtype != "float32":
        yield _cast(name, port.name, port.dtype)


def _cast(source: str, target: str, dtype: str) -> Node:
    return Node(
        op="Cast",
        name=target,
        inputs=(source,),
        outputs=(target,),
        attributes={"to": ELEMENTS[dtype]},
    )
