"""An imported network in the form in which this program works with it. Torch-free.

It takes ``input``, float32 ``(N, ...)``, images as ``(N, C, H, W)``, and answers ``logits``:
``(N, K)``, ``(N, L, K)``, or all of its outputs as one row, ``(N, D)``. What its file has instead
(names, several inputs and outputs, whole numbers, images with channels last, a softmax at
the end) is said by a ``Signature`` and put back into every file that is made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from compress.network.graph.names import layer_names
from compress.network.graph.rewiring import (
    free_name,
    names_of,
    renamed,
    without_dead_code,
    without_identities,
)
from compress.network.graph.values import Graph, GraphPort, Node, Shapes
from compress.network.signature import BATCH, INPUT, OUTPUT, Port, Signature, answer_form
from compress.network.sources.ports import packing
from compress.network.sources.ports.made import ELEMENTS
from compress.network.sources.ports.onnx_ports import ExamplePorts

_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
_ROWS, _SEQUENCES = 2, 3


def inner(graph: Graph, ports: ExamplePorts, shapes: Shapes) -> tuple[Graph, Signature]:
    """The network as it works here, and how its files take examples and answer.

    ``shapes`` are those of the graph for examples of the size of ``ports``.
    """
    found, has_softmax = _on_logits(graph, shapes)
    found = _with_gemms(found, shapes)
    ranks = [len(shapes[port.name]) for port in found.outputs]
    found = packing.with_one_output(found, ranks)
    # Nodes keep the names under which the uploaded graph describes its layers.
    found = _taking(found, ports)
    answered = _answered(ports, shapes)
    working = replace(
        found,
        inputs=(GraphPort(name=INPUT, dtype="float32", shape=(BATCH, *ports.input_shape)),),
        outputs=(GraphPort(name=OUTPUT, dtype="float32", shape=(BATCH, *answered)),),
        metadata={},
    )
    return without_dead_code(working), _signature(graph, ports, shapes, softmax=has_softmax)


def _answered(ports: ExamplePorts, shapes: Shapes) -> tuple[int, ...]:
    """The axes of the answer to one example, behind the batch."""
    found = [shapes[port.name][1:] for port in ports.outputs]
    if answer_form([1 + len(shape) for shape in found]) == "packed":
        return (sum(map(prod, found)),)
    return found[0] or (1,)


def _taking(graph: Graph, ports: ExamplePorts) -> Graph:
    """The graph on the one input that it has here."""
    if not ports.has_one_input:
        return packing.with_one_input(_named(graph, ports), ports)
    found = _named(graph, ports)
    if ports.input.dtype != "float32":
        found = _counted(found, ELEMENTS[ports.input.dtype])
    return _channels_first(found) if ports.layout == "NHWC" else found


def _signature(graph: Graph, ports: ExamplePorts, shapes: Shapes, *, softmax: bool) -> Signature:
    outputs = [_port(port, (1, *shapes[port.name][1:])) for port in ports.outputs]
    if softmax:
        outputs = [outputs[0].model_copy(update={"softmax": True})]
    return Signature(
        inputs=tuple(_taken(port, ports) for port in ports.inputs),
        outputs=tuple(outputs),
        metadata=dict(graph.metadata),
    )


def _taken(port: GraphPort, ports: ExamplePorts) -> Port:
    found = _port(port, (1, *ports.shape_of(port)))
    return found.model_copy(update={"layout": ports.layout, "made": ports.made.get(port.name)})


def _port(port: GraphPort, shape: tuple[int, ...]) -> Port:
    words = {axis: word for axis, word in enumerate(port.shape) if isinstance(word, str)}
    dtype = port.file_dtype or port.dtype
    return Port(
        name=port.name,
        dtype="float32" if dtype == "bfloat16" else dtype,
        shape=shape,
        dynamic=tuple(words),
        axes=tuple(words.values()),
    )


def _on_logits(graph: Graph, shapes: Shapes) -> tuple[Graph, bool]:
    """The graph without a softmax over the classes at its end, and whether there was one."""
    answer, rank = graph.outputs[0], len(shapes[graph.outputs[0].name])
    if len(graph.outputs) > 1 or rank not in {_ROWS, _SEQUENCES}:
        return graph, False
    last = next((node for node in graph.nodes if answer.name in node.outputs), None)
    made_here = {name for node in graph.nodes for name in node.outputs}
    if last is None or last.op != "Softmax" or last.inputs[0] not in made_here:
        return graph, False
    if last.attributes.get("axis", -1) not in (-1, rank - 1):
        return graph, False
    output = replace(answer, name=last.inputs[0])
    nodes = tuple(node for node in graph.nodes if node is not last)
    return replace(graph, nodes=nodes, outputs=(output,)), True


def _with_gemms(graph: Graph, shapes: Shapes) -> Graph:
    """A product of rows with a constant and the bias added to it are one layer."""
    names = layer_names(graph)
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    answers = {port.name for port in graph.outputs}
    joined: dict[str, Node] = {}
    for node in graph.nodes:
        after = readers.get(node.output, [])
        if node.output in answers or len(after) != 1:
            continue
        if bias := _bias(node, after[0], graph, shapes):
            inputs = (*node.inputs, bias)
            # The sum is where both are known.
            joined[after[0].name] = Node(
                op="Gemm", name=names[node.name], inputs=inputs, outputs=after[0].outputs
            )
            joined[node.name] = node
    return replace(graph, nodes=tuple(_joined(graph, joined)))


def _joined(graph: Graph, joined: dict[str, Node]) -> Iterator[Node]:
    for node in graph.nodes:
        found = joined.get(node.name, node)
        if not (found is node and node.name in joined):
            yield found


def _bias(node: Node, after: Node, graph: Graph, shapes: Shapes) -> str | None:
    """The constant that is added to a product of rows and a matrix, one number per output."""
    if node.op != "MatMul" or after.op != "Add" or len(shapes.get(node.inputs[0], ())) != _ROWS:
        return None
    weight = graph.tensors.get(node.inputs[1])
    other = next((name for name in after.inputs if name != node.output), "")
    bias = graph.tensors.get(other)
    if weight is None or bias is None or weight.ndim != _ROWS:
        return None
    return other if bias.shape == weight.shape[1:] else None


def _named(graph: Graph, ports: ExamplePorts) -> Graph:
    """Input and output under the names that they have here; whoever has these gets others.

    Several inputs keep their names, but for these.
    """
    [answer] = graph.outputs
    taken = names_of(graph) | {INPUT, OUTPUT}
    own = {answer.name: OUTPUT}
    if ports.has_one_input:
        own |= {ports.input.name: INPUT}
    others = (name for name in (INPUT, OUTPUT) if name in names_of(graph) and name not in own)
    names = {name: free_name(name, taken) for name in others} | own
    return replace(
        graph,
        inputs=tuple(replace(port, name=names.get(port.name, port.name)) for port in graph.inputs),
        outputs=(replace(answer, name=OUTPUT),),
        nodes=tuple(renamed(node, names) for node in graph.nodes),
        tensors={names.get(name, name): tensor for name, tensor in graph.tensors.items()},
    )


def _counted(graph: Graph, element: int) -> Graph:
    """Whole numbers come as float32, which tells them apart up to 2^24, and are cast at once."""
    whole = free_name(f"{INPUT}.whole", names_of(graph))
    cast = Node(
        op="Cast", name=whole, inputs=(INPUT,), outputs=(whole,), attributes={"to": element}
    )
    nodes = tuple(renamed(node, {INPUT: whole}) for node in graph.nodes)
    return replace(graph, nodes=(cast, *nodes))


def _channels_first(graph: Graph) -> Graph:
    """Images come with channels first; a transpose to that order leaves with what undoes it."""
    last = free_name(f"{INPUT}.channels_last", names_of(graph))
    back = Node(
        op="Transpose",
        name=last,
        inputs=(INPUT,),
        outputs=(last,),
        attributes={"perm": _TO_NHWC},
    )
    nodes = tuple(renamed(node, {INPUT: last}) for node in graph.nodes)
    undone = {
        node.output
        for node in nodes
        if node.op == "Transpose"
        and node.inputs[0] == last
        and node.attributes.get("perm") == _TO_NCHW
    }
    nodes = tuple(
        replace(node, op="Identity", inputs=(INPUT,), attributes={})
        if node.output in undone
        else node
        for node in nodes
    )
    found = replace(graph, nodes=(back, *nodes))
    return without_dead_code(without_identities(found, lambda node: node.output in undone))
