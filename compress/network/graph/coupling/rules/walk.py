"""Which rule follows channels through which operator, and the walk along all nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from compress.network.graph.coupling.axes import Choices, LabelledAxes, stills
from compress.network.graph.coupling.rules import (
    arrangement,
    contractions,
    pointwise,
    recurrent,
    reshapes,
)
from compress.network.graph.roles import REDUCTIONS
from compress.network.graph.values import Graph, Node, Shapes
from compress.values.errors import InvalidNetwork

Rule: TypeAlias = Callable[[Node, LabelledAxes], None]
ANSWERS = "they are what the network answers"
"""Why the channels of outputs stay."""
_COMBINING = [
    "Abs",
    "Acos",
    "Acosh",
    "Add",
    "And",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Cast",
    "Ceil",
    "Celu",
    "Cos",
    "Cosh",
    "Div",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Mish",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pow",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Sum",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Where",
    "Xor",
]
_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_COMBINING, pointwise.combine),
    **dict.fromkeys(REDUCTIONS, pointwise.reduce),
    **dict.fromkeys(("Clip", "Dropout"), pointwise.keep),
    **dict.fromkeys(("ArgMax", "ArgMin"), pointwise.pick_largest),
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), pointwise.pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"), pointwise.pool_all),
    **dict.fromkeys(
        ("BatchNormalization", "InstanceNormalization"), pointwise.normalise_by_channel
    ),
    **dict.fromkeys(
        ("Hardmax", "LogSoftmax", "LpNormalization", "Softmax"), pointwise.normalise_along
    ),
    "GroupNormalization": pointwise.normalise_by_group,
    "LayerNormalization": pointwise.normalise_by_position,
    "MeanVarianceNormalization": pointwise.normalise_over,
    "LRN": pointwise.normalise_with_neighbours,
    "Conv": contractions.convolve,
    "ConvTranspose": contractions.convolve_transposed,
    "Gemm": contractions.multiply_matrices,
    "MatMul": contractions.multiply,
    **dict.fromkeys(("GRU", "LSTM", "RNN"), recurrent.recur),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), reshapes.reshape),
    **dict.fromkeys(("ConstantOfShape", "Range", "Shape", "Size"), arrangement.source),
    "Concat": arrangement.concatenate,
    "DepthToSpace": arrangement.depth_to_space,
    "Expand": arrangement.expand,
    "Gather": arrangement.gather,
    "GridSample": arrangement.sample_grid,
    "Pad": arrangement.pad,
    "Resize": arrangement.resize,
    "Slice": arrangement.cut,
    "SpaceToDepth": arrangement.space_to_depth,
    "Split": arrangement.split,
    "Tile": arrangement.tile,
    "Transpose": arrangement.transpose,
}

_LONGEST = 2**24
"""Of an axis, each index of which has a label."""


def label(graph: Graph, shapes: Shapes) -> LabelledAxes:
    """Label every axis of every tensor; what comes in and goes out keeps all of its channels."""
    probed = _walk(graph, shapes, None)
    return _walk(graph, shapes, reshapes.choose(probed))


def _walk(graph: Graph, shapes: Shapes, choices: Choices | None) -> LabelledAxes:
    for name, shape in shapes.items():
        if max(shape, default=0) > _LONGEST:
            raise InvalidNetwork(
                f"tensor {name[:80]!r} has an axis of {max(shape)} values, channels are followed "
                f"along at most {_LONGEST}: give the network smaller examples"
            )
    labels = LabelledAxes(graph, shapes, choices)
    for port in graph.inputs:
        labels.define(port.name, stills(shapes[port.name]))
    for node in graph.nodes:
        _follow(node, labels)
    for port in graph.outputs:
        if labels.knows(port.name):
            labels.hold(labels.of(port.name), ANSWERS)
    return labels


def _follow(node: Node, labels: LabelledAxes) -> None:
    """Label what a node makes; where sizes are unknown nothing is, and what it reads is held."""
    sized = all(labels.has_shape(name) for name in (*node.inputs, *node.outputs) if name)
    rule = _RULES.get(node.op, arrangement.unknown) if sized else arrangement.unknown
    try:
        rule(node, labels)
    except (IndexError, TypeError, ValueError) as error:
        raise _misfit(node, str(error)) from error
    for name in node.outputs:
        if name and labels.has_shape(name):
            _check(node, labels, name)


def _check(node: Node, labels: LabelledAxes, name: str) -> None:
    """Hold what the rule has not labelled. Raises InvalidNetwork for another size than it has."""
    shape = labels.shape(name)
    if not labels.knows(name):
        labels.define(name, stills(shape))
    found = tuple(len(own) for own in labels.of(name))
    if found != shape:
        raise _misfit(node, f"it makes {list(found)}, not {list(shape)}")


def _misfit(node: Node, words: str) -> InvalidNetwork:
    return InvalidNetwork(
        f"{node.op} (node {node.name[:80]!r}) does not fit its inputs: {words[:300]}: export the "
        "network again"
    )
