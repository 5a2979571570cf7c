"""An imported classifier in the form in which this program works with it. Torch-free.

It takes ``input``, float32 ``(N, ...)``, images as ``(N, C, H, W)``, and answers ``logits``
``(N, K)``. What its file has instead (names, whole numbers, images with channels last, a softmax at
the end) is said by a ``Signature`` and put back into every file that is made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from compress.network.graph.names import layer_names
from compress.network.graph.rewiring import (
    free_name,
    names_of,
    renamed,
    without_dead_code,
    without_identities,
)
from compress.network.graph.values import Graph, GraphPort, Node, Shapes
from compress.network.signature import BATCH, INPUT, OUTPUT, Port, PortType, Signature
from compress.network.sources.onnx_ports import ExamplePorts

_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
_ELEMENTS: Mapping[PortType, int] = {"uint8": 2, "int32": 6, "int64": 7}
"""Numbers of element types in ONNX (onnx.proto, TensorProto.DataType)."""
_ROWS = 2
_LAST = (-1, 1)


def inner(graph: Graph, ports: ExamplePorts, shapes: Shapes) -> tuple[Graph, Signature]:
    """The network as it works here, and how its files take examples and answer.

    ``shapes`` are those of the graph for examples of the size of ``ports``.
    """
    found, has_softmax = _on_logits(graph)
    found = _with_gemms(found, shapes)
    # Nodes keep the names under which the uploaded graph describes its layers.
    found = _named(found, ports)
    if ports.input.dtype in _ELEMENTS:
        found = _counted(found, _ELEMENTS[ports.input.dtype])
    if ports.layout == "NHWC":
        found = _channels_first(found)
    num_classes = shapes[ports.output.name][-1]
    working = replace(
        found,
        inputs=(GraphPort(name=INPUT, dtype="float32", shape=(BATCH, *ports.input_shape)),),
        outputs=(GraphPort(name=OUTPUT, dtype="float32", shape=(BATCH, num_classes)),),
        metadata={},
    )
    return without_dead_code(working), _signature(graph, ports, shapes, softmax=has_softmax)


def _signature(graph: Graph, ports: ExamplePorts, shapes: Shapes, *, softmax: bool) -> Signature:
    taken = _port(ports.input, (1, *ports.file_shape)).model_copy(update={"layout": ports.layout})
    answered = _port(ports.output, (1, *shapes[ports.output.name][1:]))
    return Signature(
        inputs=(taken,),
        outputs=(answered.model_copy(update={"softmax": softmax}),),
        metadata=dict(graph.metadata),
    )


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


def _on_logits(graph: Graph) -> tuple[Graph, bool]:
    """The graph without a softmax over the classes at its end, and whether there was one."""
    [answer] = graph.outputs
    last = next((node for node in graph.nodes if answer.name in node.outputs), None)
    made_here = {name for node in graph.nodes for name in node.outputs}
    if last is None or last.op != "Softmax" or last.inputs[0] not in made_here:
        return graph, False
    if last.attributes.get("axis", -1) not in _LAST:
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
    """Input and output under the names that they have here; whoever has these gets others."""
    [answer] = graph.outputs
    taken = names_of(graph) | {INPUT, OUTPUT}
    own = {ports.input.name: INPUT, answer.name: OUTPUT}
    others = (name for name in (INPUT, OUTPUT) if name in names_of(graph) and name not in own)
    names = {name: free_name(name, taken) for name in others} | own
    return replace(
        graph,
        inputs=(replace(ports.input, name=INPUT),),
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
