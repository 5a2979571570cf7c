"""A plan as a graph of ONNX operators: the form in which networks are coupled, counted and written.

A layer is a node, its BatchNorm another, and their constants have the names of the tensors of the
torch network (``conv1.weight``), so that ``graph.names.layer_names`` calls the nodes what the plan
calls the layers. The constants of a plan have shapes, but neither values nor memory of their own;
only those of pad shortcuts are known. Torch-free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from compress.network.families.plans import checks, sizes
from compress.network.families.plans.plan import (
    Activation,
    Border,
    Cell,
    Chain,
    Change,
    Concat,
    Conv,
    Excite,
    Flatten,
    Linear,
    Node,
    Norm,
    Pad,
    Plan,
    Pool,
    Resize,
    Size,
    Sum,
)
from compress.network.graph import values
from compress.network.graph.values import Array, Attribute, Graph, GraphPort
from compress.network.signature import Port, Signature

_OPERATORS: Mapping[Activation, str] = {
    "relu": "Relu",
    "hardswish": "HardSwish",
    "sigmoid": "Sigmoid",
}
"""The activations that are one operator without more."""
_BOUNDS = {"relu6.low": 0.0, "relu6.high": 6.0}
_NORM = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}


def lower(plan: Plan, signature: Signature) -> Graph:
    """Return the graph of a plan, for images ``(N, C, H, W)`` as the signature takes them.

    Its output are the signature's logits ``(N, K)``. Raises InvalidCandidate for a plan that
    answers alike whatever the image, and where maps cannot be laid out as a vector at that size.
    """
    checks.check_depends(plan)
    [taken], [answered] = signature.inputs, signature.outputs
    _, channels, height, width = taken.shape
    x = Maps(name=taken.name, channels=channels, size=(height, width))
    lowering = _Lowering(plan.norm_epsilon)
    for chain in plan.chains:
        x = lowering.chain(chain, x)
    *nodes, last = lowering.nodes
    return Graph(
        inputs=(_port(taken),),
        outputs=(_port(answered),),
        nodes=(*nodes, replace(last, outputs=(answered.name,))),
        tensors=lowering.tensors,
    )


def relative_targets(graph: Graph) -> Mapping[str, tuple[int, ...]]:
    """Return what the Reshapes of a shuffle ask for however many channels there are, by node.

    A target says a number for the channels, the third entry from behind; here it is -1.
    """
    targets = {
        n.name: graph.tensors[n.inputs[1]].tolist() for n in graph.nodes if n.op == "Reshape"
    }
    return {name: (*own[:-3], -1, *own[-2:]) for name, own in targets.items()}


@dataclass(frozen=True, kw_only=True)
class Maps:
    """What flows from node to node: a tensor ``(N, channels, *size)``, or a vector of size 1x1."""

    name: str
    channels: int
    size: Size


@dataclass
class _Lowering:
    """A graph under construction."""

    epsilon: float
    nodes: list[values.Node] = field(default_factory=list[values.Node])
    tensors: dict[str, Array] = field(default_factory=dict[str, Array])
    numbers: Counter[str] = field(default_factory=Counter[str])

    def chain(self, chain: Chain, x: Maps) -> Maps:
        """Add nodes one behind the other; what the last one makes."""
        for node in chain:
            x = self._node(node, x)
        return x

    def _node(self, node: Node, x: Maps) -> Maps:
        match node:
            case Conv() | Pad():
                return self._convolved(node, x)
            case Norm():
                return self._activated(node.activation, self._normed(node.name, x))
            case Linear():
                return self._multiplied(node, x)
            case Excite():
                return self._excited(node, x)
            case Sum():
                return self._activated(node.activation, self._summed(self._each(node.branches, x)))
            case Concat():
                return self._joined(node, x)
            case Cell():
                return self._cell(node, x)
            case _:
                return self._changed(node, x)

    def _convolved(self, layer: Conv | Pad, x: Maps) -> Maps:
        y = Maps(name=layer.name, channels=layer.outputs, size=sizes.strided(layer, x.size))
        if isinstance(layer, Pad):
            window = _window((1, 1), (layer.stride, layer.stride), (0, 0))
            return self._layer("Conv", x, y, {"weight": _pad_weight(layer)}, window)
        window = _window(layer.kernel, layer.steps, layer.zeros)
        operands = {"weight": _constant(0.0, *layer.shape)}
        if layer.bias:
            operands["bias"] = _constant(0.0, layer.outputs)
        self._layer("Conv", x, y, operands, {**window, "group": layer.groups})
        normed = y if layer.norm is None else self._normed(layer.norm, y)
        return self._activated(layer.activation, normed)

    def _normed(self, name: str, x: Maps) -> Maps:
        operands = {own: _constant(value, x.channels) for own, value in _NORM.items()}
        attributes = {"epsilon": self.epsilon}
        return self._layer("BatchNormalization", x, replace(x, name=name), operands, attributes)

    def _multiplied(self, layer: Linear, x: Maps) -> Maps:
        y = Maps(name=layer.name, channels=layer.outputs, size=x.size)
        weight_OI = _constant(0.0, layer.outputs, layer.inputs)
        operands = {"weight": weight_OI, "bias": _constant(0.0, layer.outputs)}
        return self._activated(layer.activation, self._layer("Gemm", x, y, operands, {"transB": 1}))

    def _layer(
        self,
        op: str,
        x: Maps,
        y: Maps,
        operands: Mapping[str, Array],
        attributes: Mapping[str, Attribute],
    ) -> Maps:
        """Add the node of a layer, which has the name of what it makes."""
        named = {f"{y.name}.{own}": constant for own, constant in operands.items()}
        self.tensors |= named
        inputs = (x.name, *named)
        self.nodes.append(
            values.Node(op=op, name=y.name, inputs=inputs, outputs=(y.name,), attributes=attributes)
        )
        return y

    def _activated(self, activation: Activation, x: Maps) -> Maps:
        match activation:
            case "none":
                return x
            case "relu6":
                self.tensors |= {name: np.asarray(b, np.float32) for name, b in _BOUNDS.items()}
                return self._add("Clip", x, *_BOUNDS)
            case "hardsigmoid":
                return self._add("HardSigmoid", x, alpha=1 / 6)
            case "silu":
                return self._add("Mul", x, self._add("Sigmoid", x).name)
            case _:
                return self._add(_OPERATORS[activation], x)

    def _excited(self, node: Excite, x: Maps) -> Maps:
        means = replace(self._add("GlobalAveragePool", x), size=sizes.POINT)
        return self._add("Mul", x, self.chain((node.reduce, node.expand), means).name)

    def _each(self, chains: tuple[Chain, ...], x: Maps) -> list[Maps]:
        return [self.chain(chain, x) for chain in chains]

    def _summed(self, parts: list[Maps]) -> Maps:
        first, *others = parts
        for other in others:
            first = self._add("Add", first, other.name)
        return first

    def _joined(self, node: Concat, x: Maps) -> Maps:
        parts = self._split(x, len(node.branches)) if node.split else [x] * len(node.branches)
        made = [self.chain(b, part) for b, part in zip(node.branches, parts, strict=True)]
        first, *others = made
        joined = self._add("Concat", first, *(other.name for other in others), axis=1)
        joined = replace(joined, channels=sum(part.channels for part in made))
        return joined if node.shuffle == 1 else self._shuffled(joined, node.shuffle)

    def _split(self, x: Maps, count: int) -> list[Maps]:
        """Add equal parts of the channels; the last one has fewer where they are not a multiple."""
        whole = self._add("Split", x, axis=1, num_outputs=count)
        names = tuple(f"{whole.name}.{number}" for number in range(count))
        self.nodes[-1] = replace(self.nodes[-1], outputs=names)
        each = -(-x.channels // count)
        held = [min(each, x.channels - each * number) for number in range(count)]
        return [replace(x, name=n, channels=c) for n, c in zip(names, held, strict=True)]

    def _shuffled(self, x: Maps, groups: int) -> Maps:
        split = self._reshaped(x, (groups, x.channels // groups))
        dealt = self._add("Transpose", split, perm=(0, 2, 1, 3, 4))
        return self._reshaped(dealt, (x.channels,))

    def _reshaped(self, x: Maps, channels: Size | tuple[int]) -> Maps:
        y = self._add("Reshape", x)
        target = f"{y.name}.target"
        self.tensors[target] = np.array((0, *channels, *x.size), np.int64)
        self.nodes[-1] = replace(self.nodes[-1], inputs=(x.name, target))
        return y

    def _cell(self, node: Cell, x: Maps) -> Maps:
        """Add what a path leads through; a node of the cell that nothing reaches has no maps."""
        maps: list[Maps | None] = [x]
        for edges in node.live:
            sources = [(edge.chain, maps[edge.source]) for edge in edges]
            parts = [self.chain(chain, source) for chain, source in sources if source]
            maps.append(self._summed(parts) if parts else None)
        assert maps[-1] is not None
        return maps[-1]

    def _changed(self, node: Change, x: Maps) -> Maps:
        size = sizes.changed(node, x.size)
        match node:
            case Pool():
                y = self._pooled(node, x)
            case Resize():
                y = self._resized(x, size)
            case Border():
                amounts = np.array((0, 0, 0, 0, 0, 0, node.below, node.right), np.int64)
                self.tensors[f"{x.name}.border"] = amounts
                y = self._add("Pad", x, f"{x.name}.border")
            case Flatten():
                window = (x.size[0] // node.side, x.size[1] // node.side)
                means = self._add("AveragePool", x, **_window(window, window, (0, 0)))
                y = self._add("Flatten", means)
                y = replace(y, channels=x.channels * node.side**2)
            case _:
                y = self._activated(node.activation, x)
        return replace(y, size=size)

    def _pooled(self, node: Pool, x: Maps) -> Maps:
        if node.kind == "global":
            return self._add("Flatten", self._add("GlobalAveragePool", x))
        side, step, zeros = node.kernel, node.stride, (node.kernel - 1) // 2
        window = _window((side, side), (step, step), (zeros, zeros))
        op = "MaxPool" if node.kind == "max" else "AveragePool"
        return self._add(op, x, ceil_mode=int(node.round_up), **window)

    def _resized(self, x: Maps, size: Size) -> Maps:
        """Say scales, not sizes: with those, height and width alone would have to be named.

        ONNX Runtime cannot place a Resize with ``axes`` among integer convolutions, whose channels
        come last. It computes with the same scales either way.
        """
        name = f"{x.name}.scales"
        factors = (1, 1, *(_factor(b, a) for b, a in zip(x.size, size, strict=True)))
        self.tensors[name] = np.array(factors, np.float32)
        return self._add("Resize", x, "", name, mode="linear")

    def _add(self, op: str, x: Maps, *more: str, **attributes: Attribute) -> Maps:
        """Add a node without a layer; what it makes, with the channels and the size of ``x``."""
        self.numbers[op] += 1
        name = f"{op}_{self.numbers[op]}"
        self.nodes.append(
            values.Node(
                op=op, name=name, inputs=(x.name, *more), outputs=(name,), attributes=attributes
            )
        )
        return replace(x, name=name)


def _port(port: Port) -> GraphPort:
    return GraphPort(name=port.name, dtype="float32", shape=port.words)


def _constant(value: float, *shape: int) -> Array:
    """Make a constant of one value, which takes the memory of that one."""
    return np.broadcast_to(np.float32(value), shape)


def _pad_weight(layer: Pad) -> Array:
    """Return zeros and ones ``(O, I, 1, 1)``: input ``i`` is output ``i + (O - I) // 2``."""
    offset = (layer.outputs - layer.inputs) // 2
    weight_OI = np.eye(layer.outputs, layer.inputs, -offset, dtype=np.float32)
    return weight_OI[:, :, None, None]


def _window(kernel: Size, steps: Size, zeros: Size) -> dict[str, Attribute]:
    return {"kernel_shape": kernel, "pads": (*zeros, *zeros), "strides": steps}


def _factor(before: int, after: int) -> np.float32:
    """Return the quotient as float32, or the next float that turns ``before`` into ``after``."""
    factor = np.float32(after) / np.float32(before)
    if np.floor(factor * np.float32(before)) < after:
        factor = np.nextafter(factor, np.float32(np.inf))
    return factor
