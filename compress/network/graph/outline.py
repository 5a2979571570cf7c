"""What a graph says about itself: ports, layers, what they weigh and compute. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from compress.network.graph import counting
from compress.network.graph.coupling import description, groups
from compress.network.graph.coupling.couplings import couple
from compress.network.graph.names import layer_names
from compress.network.graph.roles import OperandRole, roles
from compress.network.graph.values import Graph, GraphPort, Node, Shapes
from compress.network.outline import LayerInfo, LayerKind, Outline
from compress.network.signature import Port, Signature

_KINDS: Mapping[str, LayerKind] = {
    "BatchNormalization": "norm",
    "Conv": "conv",
    "ConvTranspose": "conv",
    "GRU": "recurrent",
    "Gather": "embedding",
    "Gemm": "linear",
    "GroupNormalization": "norm",
    "InstanceNormalization": "norm",
    "LSTM": "recurrent",
    "LayerNormalization": "norm",
    "MatMul": "linear",
    "RNN": "recurrent",
}
_FOLDABLE = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""What a BatchNorm may be folded into, and is counted with."""

_MATRIX, _MAP = 2, 4
_VIEWED: Mapping[str, tuple[int, ...]] = {
    "Conv": (3, 4, 5),
    "ConvTranspose": (3, 4, 5),
    "GRU": (2,),
    "Gather": (2,),
    "Gemm": (2,),
    "LSTM": (2,),
    "MatMul": (2,),
}
"""The axes of weights that are matrices to techniques, by their operators."""


def outline(graph: Graph, shapes: Shapes) -> Outline:
    """Describe the graph, of which these are the shapes for one example (``shapes.bind``).

    The layers have the names that they have as torch modules. Layers of the same resolution are a
    stage, as in any network of no family.
    """
    described = list(_layers(graph, shapes))
    stages = _stages(described)
    layers = tuple(
        LayerInfo(
            name=one.name,
            kind=one.kind,
            weight_shape=one.weight_shape,
            parameters=one.parameters,
            macs=one.macs,
            stage=stage,
            has_view=one.has_view,
            has_factors=one.has_factors,
        )
        for one, stage in zip(described, stages, strict=True)
    )
    inputs = tuple(_port(port, shapes) for port in graph.inputs)
    outputs = tuple(_port(port, shapes) for port in graph.outputs)
    signature = Signature(inputs=inputs, outputs=outputs)
    return Outline(signature=signature, layers=layers, blocks=())


def with_channels(
    graph: Graph,
    shapes: Shapes,
    of_two: Shapes,
    staying: Mapping[str, str] | None = None,
) -> Outline:
    """Describe the graph with the channels that may leave it; ``of_two`` are for two examples.

    Groups whose roots are ``staying`` stay, and why is told. ``blocks`` counts the layers of each
    stage, which one pruning ratio is for. Raises InvalidNetwork where channels cannot be followed.
    """
    found = outline(graph, shapes)
    couplings = groups.without_each(couple(graph, of_two), staying or {})
    channels = description.describe(graph, couplings, found.layers)
    narrowed = {axis.layer for group in channels.groups for axis in group.axes}
    layers = tuple(
        layer.model_copy(update={"loses_channels": layer.name in narrowed})
        for layer in found.layers
    )
    stages = Counter(layer.stage for layer in found.layers if layer.stage is not None)
    blocks = tuple(stages[stage] for stage in range(len(stages)))
    return found.model_copy(update={"layers": layers, "blocks": blocks, "channels": channels})


@dataclass(frozen=True, kw_only=True)
class _Described:
    """A layer; ``resolution`` is the pixels or the length of its output, if that sets a stage."""

    name: str
    kind: LayerKind
    weight_shape: tuple[int, ...]
    parameters: int
    macs: int
    resolution: int | None
    has_view: bool
    has_factors: bool


def _layers(graph: Graph, shapes: Shapes) -> Iterator[_Described]:
    """Describe every node with a weight, with the BatchNorm that it has to itself."""
    names, counts = layer_names(graph), counting.count(graph, shapes).nodes
    norms = _own_norms(graph)
    taken = {norm.name for norm in norms.values()}
    for node in graph.nodes:
        shape = _weight_shape(node, graph)
        if shape is None or node.name in taken:
            continue
        norm = norms.get(node.name)
        yield _Described(
            name=names[node.name],
            kind=_KINDS[node.op],
            weight_shape=shape,
            parameters=counts[node.name].parameters
            + (0 if norm is None else counts[norm.name].parameters),
            macs=counts[node.name].macs,
            resolution=_resolution(node, shapes[node.output]),
            has_view=len(shape) in _VIEWED.get(node.op, ()) and not _is_tied_table(node, graph),
            has_factors=_has_factors(node, shape),
        )


def _own_norms(graph: Graph) -> dict[str, Node]:
    """Return the BatchNorm behind each layer that nothing else reads, by the layer's node."""
    makers = {name: node for node in graph.nodes for name in node.outputs if name}
    reads = Counter(name for node in graph.nodes for name in node.inputs)
    reads.update(port.name for port in graph.outputs)
    found: dict[str, Node] = {}
    for norm in graph.nodes:
        maker = makers.get(norm.inputs[0]) if norm.op == "BatchNormalization" else None
        if maker is not None and maker.op in _FOLDABLE and reads[norm.inputs[0]] == 1:
            found[maker.name] = norm
    return found


def _weight_shape(node: Node, graph: Graph) -> tuple[int, ...] | None:
    """Return the shape of a node's weight, None if it is no layer.

    Output channels come first, whichever way the file has it. Of a recurrent layer they are the
    units of all gates in all directions, ``(D G H, I + H)``.
    """
    if node.op not in _KINDS:
        return None
    for name, role in zip(node.inputs, roles(node), strict=True):
        constant = graph.tensors.get(name)
        if constant is None or constant.dtype.kind != "f":
            continue
        if role.kind in {"weight", "table", "scale"}:
            return _outputs_first(node, role, constant.shape, graph)
    return None


def _outputs_first(
    node: Node, role: OperandRole, shape: tuple[int, ...], graph: Graph
) -> tuple[int, ...]:
    """Return the shape of a weight with its output channels first."""
    match node.op:
        case "ConvTranspose":
            groups, (inputs, outputs, *kernel) = node.integer("group", 1), shape
            return (outputs * groups, inputs // groups, *kernel)
        case "LSTM" | "GRU" | "RNN":
            directions, rows, inputs = shape
            return (directions * rows, inputs + graph.tensors[node.inputs[2]].shape[2])
        case "Gather" | "Gemm" | "MatMul" if len(shape) > 1 and role.out_axis in {1, -1}:
            return (*shape[:-2], *shape[-2:][::-1])
        case _:
            return shape


def _is_tied_table(node: Node, graph: Graph) -> bool:
    """Whether a table of words is also the weight of another layer, which wants it as it is."""
    readers = [name for each in graph.nodes for name in each.inputs]
    return node.op == "Gather" and readers.count(node.inputs[0]) > 1


def _has_factors(node: Node, shape: tuple[int, ...]) -> bool:
    """Whether it is a linear layer, a table, or a convolution of two axes without groups."""
    is_whole = len(shape) == _MAP and node.integer("group", 1) == 1
    if _KINDS[node.op] in {"embedding", "linear"}:
        return len(shape) == _MATRIX
    return node.op == "Conv" and is_whole


def _resolution(node: Node, output: tuple[int, ...]) -> int | None:
    """Return what the views of torch's layers say (``running.weight_view``)."""
    if node.op == "Conv":
        return prod(output[2:])
    return prod(output[1:-1]) if _KINDS[node.op] == "linear" else None


def _stages(layers: list[_Described]) -> list[int | None]:
    """Return the stage of every layer; one without a resolution belongs to the one before."""
    known = [one.resolution for one in layers if one.resolution is not None]
    numbers = {resolution: stage for stage, resolution in enumerate(dict.fromkeys(known))}
    found: list[int | None] = []
    for one in layers:
        before = found[-1] if found else None
        found.append(before if one.resolution is None else numbers[one.resolution])
    return found


def _port(port: GraphPort, shapes: Shapes) -> Port:
    dynamic = tuple(axis for axis, size in enumerate(port.shape) if isinstance(size, str))
    return Port(name=port.name, dtype=port.dtype, shape=shapes[port.name], dynamic=dynamic)
