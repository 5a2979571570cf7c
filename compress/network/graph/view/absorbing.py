"""A torch view as a graph again, with whatever training and techniques have made of its layers.

A layer may have been narrowed, have got a bias, stand as several in a row in place of one, or be
gone because it was folded into its neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import UnionType

import numpy as np
from torch import Tensor, nn

from compress.network.graph.values import Array, Attribute, Graph, Node
from compress.network.graph.view.operators import recurrent
from compress.network.graph.view.operators.embedding import EmbeddingTable
from compress.network.graph.view.operators.recurrent import Recurrent
from compress.network.graph.view.operators.site import Operator, unsupported
from compress.network.graph.view.operators.transposed import TransposedConvolution, turned
from compress.network.graph.view.program import NodeCall, Program

_Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
_BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
_Norm = nn.LayerNorm | nn.GroupNorm | nn.InstanceNorm1d | nn.InstanceNorm2d | nn.InstanceNorm3d


@dataclass(frozen=True, kw_only=True)
class LayeredGraph:
    """A graph, and the layers of a module that its nodes stand for, by their names."""

    graph: Graph
    layers: Mapping[str, str]


def absorb(module: nn.Module, program: Program, *, is_open: bool = False) -> Graph:
    """The graph that computes what the module computes in eval mode.

    With ``is_open`` sizes of images, convolutions that the graph pads by the size of what they read
    stay so; else they say the pads of the sizes that the module was made for.

    ``program`` is that of the module: ports, metadata and the names of nodes and tensors are those
    of its graph. Weights must be plain (``training.constraints.bake``). Raises InvalidNetwork for a
    layer of a kind that no technique of ours makes.
    """
    return _written(module, program, _Writing(program.graph, is_open=is_open)).graph


def layered(module: nn.Module, program: Program) -> LayeredGraph:
    """The graph of ``absorb`` with sizes as its nodes say them, and the layers of its nodes."""
    return _written(module, program, _Writing(program.graph, as_said=True))


def _written(module: nn.Module, program: Program, writing: _Writing) -> LayeredGraph:
    for call in program.calls:
        writing.add(call, module.get_submodule(call.layer) if call.layer else None)
    return writing.finished()


class _Writing:
    """A graph under construction; sizes hold for fewer channels too, or are ``as_said``."""

    def __init__(self, graph: Graph, *, as_said: bool = False, is_open: bool = False) -> None:
        self._graph, self._as_said = graph, as_said
        self._pads_by_size = as_said or is_open
        self._layers: dict[str, str] = {}
        self._outputs = {port.name for port in graph.outputs}
        self._nodes: list[Node] = []
        self._tensors: dict[str, Array] = {}
        # Tensors whose makers are gone, and what is read in their place.
        self._alias: dict[str, str] = {}

    def add(self, call: NodeCall, layer: nn.Module | None) -> None:
        """Write what the layer of a call has become; None is a node without one."""
        inputs = tuple(self._alias.get(name, name) for name in call.node.inputs)
        call = replace(call, node=replace(call.node, inputs=inputs))
        match layer:
            case None:
                self._append(call, call.node, {})
            case nn.Identity():
                self._skip(call)
            case nn.Sequential():
                self._add_row(call, layer)
            case _:
                self._add_one(call, layer)

    def finished(self) -> LayeredGraph:
        """The whole graph."""
        graph = replace(self._graph, nodes=tuple(self._nodes), tensors=self._tensors)
        return LayeredGraph(graph=graph, layers=self._layers)

    def _skip(self, call: NodeCall) -> None:
        source, made = call.node.inputs[0], call.node.output
        if made in self._outputs:
            node = Node(op="Identity", name=call.node.name, inputs=(source,), outputs=(made,))
            self._put(node, call.layer)
        else:
            self._alias[made] = source

    def _add_row(self, call: NodeCall, row: nn.Sequential) -> None:
        """Layers in place of one: uneven padding goes in front of the first."""
        node, picks = call.node, isinstance(next(row.children()), EmbeddingTable)
        source = node.inputs[1] if picks else node.inputs[0]
        padding = self._padding(call)
        if call.pads and not padding:
            source = self._add_pad(call, source)
        *_, last = names = list(dict(row.named_children()))
        for name in names:
            made = node.output if name == last else f"{call.layer}.{name}"
            layer, module = f"{call.layer}.{name}", row.get_submodule(name)
            weight, is_table = f"{layer}.weight", isinstance(module, EmbeddingTable)
            part = Node(
                op="MatMul" if _is_product(module) else node.op,
                name=f"{node.name}.{name}",
                inputs=(weight, source) if is_table else (source, weight, f"{layer}.bias"),
                outputs=(made,),
                attributes=padding,
            )
            self._add_one(NodeCall(node=part, layer=layer, reads=(source,)), module)
            source = made

    def _add_pad(self, call: NodeCall, source: str) -> str:
        made, axes = f"{call.layer}.padded", len(call.pads) // 2
        before, after = call.pads[-2::-2], call.pads[::-2]
        # From the last axis in torch, from the first in ONNX.
        amounts = np.asarray((0, 0, *before, 0, 0, *after), np.int64)
        assert len(amounts) == 2 * (axes + 2)
        inputs = (source, self._tensor(f"{made}.pads", amounts, call))
        self._put(Node(op="Pad", name=made, inputs=inputs, outputs=(made,)), made)
        return made

    def _put(self, node: Node, layer: str) -> None:
        self._nodes.append(node)
        if layer:
            self._layers[node.name] = layer

    def _add_one(self, call: NodeCall, layer: nn.Module) -> None:
        match layer:
            case nn.Linear():
                self._add_linear(call, layer)
            case _:
                node = call.node
                attributes, held = _contents(call, layer)
                if padding := self._padding(call):
                    attributes = {n: a for n, a in attributes.items() if n != "pads"} | padding
                self._append(call, replace(node, attributes=attributes), held)

    def _padding(self, call: NodeCall) -> dict[str, Attribute]:
        """How the node pads by the size of what it reads, if that is to be said."""
        said = call.node.attributes.get("auto_pad")
        keeps = self._pads_by_size and said in {"SAME_LOWER", "SAME_UPPER"}
        return {"auto_pad": said} if keeps and said is not None else {}

    def _add_linear(self, call: NodeCall, layer: nn.Linear) -> None:
        weight_OI, bias_O = _array(layer.weight), _values(layer.bias)
        if call.node.op == "Gemm":
            node = replace(call.node, attributes={"transB": 1})
            self._append(call, node, {1: weight_OI, 2: bias_O})
            return
        node = replace(call.node, attributes={}, inputs=call.node.inputs[:2])
        if bias_O is not None:
            node = replace(node, outputs=(f"{call.layer}.product",))
        self._append(call, node, {1: np.ascontiguousarray(weight_OI.T)})
        if bias_O is not None:
            inputs = (node.output, self._tensor(f"{call.layer}.bias", bias_O, call))
            made = call.node.outputs
            add = Node(op="Add", name=f"{call.node.name}.bias", inputs=inputs, outputs=made)
            self._put(add, f"{call.layer}_bias")

    def _append(self, call: NodeCall, node: Node, held: Mapping[int, Array | None]) -> None:
        """A node with these constants in these places; other constants are those of before."""
        inputs = list(node.inputs) + [""] * (max(held, default=0) + 1 - len(node.inputs))
        statics = {} if self._as_said else call.statics
        held = {p: np.asarray(v, np.int64) for p, v in statics.items()} | dict(held)
        for place, name in enumerate(inputs):
            known = self._graph.tensors.get(name)
            values = held.get(place, known)
            if values is not None:
                if node.op == "PRelu" and known is not None:
                    # One slope per channel, and ones for the axes of the map behind them.
                    values = values.reshape(-1, *known.shape[1:])
                wanted = name or f"{call.layer}.{_PLACES.get(place, place)}"
                inputs[place] = self._tensor(wanted, values, call)
            elif place in held:
                inputs[place] = ""
        while inputs and not inputs[-1]:
            inputs.pop()
        self._put(replace(node, inputs=tuple(inputs)), call.layer)

    def _tensor(self, wanted: str, values: Array, call: NodeCall) -> str:
        """The name under which a tensor is kept: the wanted one, if nothing else has it."""
        known = self._tensors.get(wanted)
        is_other = known is not None and not _same(known, values)
        name = f"{call.layer}.{wanted}" if is_other else wanted
        self._tensors[name] = values
        return name


_PLACES = {1: "weight", 2: "bias"}


def _is_product(module: nn.Module) -> bool:
    """Whether a layer only multiplies, which a MatMul says in fewer bytes than a Gemm."""
    return isinstance(module, nn.Linear) and module.bias is None


def _contents(
    call: NodeCall, layer: nn.Module
) -> tuple[Mapping[str, Attribute], Mapping[int, Array | None]]:
    """What a layer says of itself: the attributes of its node, and its constants by place."""
    for kind, describe in _DESCRIBED:
        if isinstance(layer, kind):
            return describe(call, layer)
    if next(layer.parameters(), None) is None:
        return call.node.attributes, {}
    raise unsupported(call.node, f"has become a {type(layer).__name__}, which has no node")


_Contents = tuple[Mapping[str, Attribute], Mapping[int, Array | None]]


def _operator(call: NodeCall, layer: Operator) -> _Contents:
    given = [place for place, name in enumerate(call.node.inputs) if name]
    named = zip(given, layer.places, strict=False)
    return call.node.attributes, {p: _array(getattr(layer, a)) for p, a in named if a is not None}


def _convolution(call: NodeCall, layer: _Convolution) -> _Contents:
    before, after = tuple(layer.padding), tuple(layer.padding)
    if call.pads:
        before, after = call.pads[-2::-2], call.pads[::-2]
    attributes: dict[str, Attribute] = {
        "dilations": tuple(layer.dilation),
        "group": layer.groups,
        "kernel_shape": tuple(layer.kernel_size),
        "pads": tuple(int(amount) for amount in (*before, *after)),
        "strides": tuple(layer.stride),
    }
    return attributes, {1: _array(layer.weight), 2: _values(layer.bias)}


def _transposed(call: NodeCall, layer: TransposedConvolution) -> _Contents:
    attributes = {**call.node.attributes, "group": layer.groups}
    weight = turned(layer.weight, layer.groups)
    return attributes, {1: _array(weight), 2: _values(layer.bias)}


def _batch_norm(call: NodeCall, layer: _BatchNorm) -> _Contents:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    held = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    return call.node.attributes, {place: _array(each) for place, each in enumerate(held, 1)}


def _norm(call: NodeCall, layer: _Norm) -> _Contents:
    attributes = dict(call.node.attributes)
    if isinstance(layer, nn.GroupNorm):
        attributes["num_groups"] = layer.num_groups
    assert layer.weight is not None
    return attributes, {1: _array(layer.weight), 2: _values(layer.bias)}


def _embedding(call: NodeCall, layer: nn.Embedding) -> _Contents:
    return call.node.attributes, {0: _array(layer.weight)}


def _table(call: NodeCall, layer: EmbeddingTable) -> _Contents:
    return call.node.attributes, {0: _array(layer.weight.T)}


def _recurrent(call: NodeCall, layer: Recurrent) -> _Contents:
    weights, state_weights, biases = recurrent.tensors(layer)
    attributes = {**call.node.attributes, "hidden_size": layer.hidden_size}
    return attributes, {1: weights, 2: state_weights, 3: biases}


def _prelu(call: NodeCall, layer: nn.PReLU) -> _Contents:
    return call.node.attributes, {1: _array(layer.weight)}


_DESCRIBED: Sequence[tuple[type | UnionType, Callable[..., _Contents]]] = (
    (Operator, _operator),
    (_Convolution, _convolution),
    (TransposedConvolution, _transposed),
    (_BatchNorm, _batch_norm),
    (_Norm, _norm),
    (nn.Embedding, _embedding),
    (EmbeddingTable, _table),
    (Recurrent, _recurrent),
    (nn.PReLU, _prelu),
)


def _same(one: Array, other: Array) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other)


def _array(tensor: Tensor) -> Array:
    return np.array(tensor.detach().cpu().numpy(), order="C", copy=True)


def _values(tensor: Tensor | None) -> Array | None:
    return None if tensor is None else _array(tensor)
