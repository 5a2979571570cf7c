"""What each operand of an operator is for: the one table that every reader of a graph asks.

A role says what a *constant* in that place means: whether it is trained, which of its axes belong
to the operator's output and input, or that it tells sizes and must never become a parameter. An
operator without a row is not understood, and a file that holds it is refused. Torch-free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from compress.network.graph.values import Node


@dataclass(frozen=True, kw_only=True)
class OperandRole:
    """The meaning of one operand.

    ``data``: an activation; a float constant of more than one element there is a free parameter
    (class token, positions, layer scale). ``weight``: ``out_axis`` and ``in_axis`` are its axes.
    ``table``: rows are picked along ``in_axis`` (an embedding). ``scale`` and ``bias``: trained,
    one value per channel. ``statistic``: running mean or variance. ``state``: what a recurrent
    layer starts with. ``index``: integers that pick; ``bound``: the limits of a clip or a padding
    value; ``shape``: sizes, axes, counts. Axes count from the end where they are negative.
    """

    kind: Literal[
        "data",
        "weight",
        "table",
        "scale",
        "bias",
        "statistic",
        "state",
        "index",
        "bound",
        "shape",
    ]
    out_axis: int | None = None
    in_axis: int | None = None

    @property
    def is_trained(self) -> bool:
        """Whether a float constant in this place learns."""
        return self.kind in {"data", "weight", "table", "scale", "bias"}


_Roles: TypeAlias = tuple[OperandRole, ...]
DATA = OperandRole(kind="data")
SCALE = OperandRole(kind="scale")
BIAS = OperandRole(kind="bias")
STATISTIC = OperandRole(kind="statistic")
STATE = OperandRole(kind="state")
INDEX = OperandRole(kind="index")
BOUND = OperandRole(kind="bound")
SHAPE = OperandRole(kind="shape")


def weight(out_axis: int, in_axis: int) -> OperandRole:
    """The role of a weight whose axes are these."""
    return OperandRole(kind="weight", out_axis=out_axis, in_axis=in_axis)


def _gemm(node: Node) -> _Roles:
    rows = weight(0, 1) if node.attributes.get("transB", 0) else weight(1, 0)
    return (DATA, rows, BIAS)


def _gather(node: Node) -> _Roles:
    axis = node.attributes.get("axis", 0)
    table = OperandRole(kind="table", in_axis=0, out_axis=1) if axis == 0 else DATA
    return (table, INDEX)


def _same(roles: _Roles) -> Callable[[Node], _Roles]:
    return lambda _: roles


def _all_data(node: Node) -> _Roles:
    return (DATA,) * len(node.inputs)


_ONE_INPUT = (
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "AveragePool",
    "Cast",
    "Ceil",
    "Celu",
    "Cos",
    "Cosh",
    "DepthToSpace",
    "Elu",
    "Erf",
    "Exp",
    "Flatten",
    "Floor",
    "Gelu",
    "GlobalAveragePool",
    "GlobalLpPool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "Identity",
    "IsInf",
    "IsNaN",
    "LRN",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "LpPool",
    "MaxPool",
    "MeanVarianceNormalization",
    "Mish",
    "Neg",
    "NonZero",
    "Not",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shape",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Size",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpaceToDepth",
    "Sqrt",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Transpose",
)
_TWO_INPUTS = (
    "Add",
    "And",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Mod",
    "Mul",
    "Or",
    "Pow",
    "Sub",
    "Xor",
)
_ANY_INPUTS = ("Concat", "Einsum", "Max", "Mean", "Min", "Sum")
REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)
"""The operators that make one number of all that lie along some axes."""
_RECURRENT = (DATA, weight(1, 2), weight(1, 2), BIAS, SHAPE, STATE)
_NORM = (DATA, SCALE, BIAS)

_OTHERS: Mapping[str, _Roles] = {
    "ArgMax": (DATA,),
    "ArgMin": (DATA,),
    "BatchNormalization": (DATA, SCALE, BIAS, STATISTIC, STATISTIC),
    "Clip": (DATA, BOUND, BOUND),
    "ConstantOfShape": (SHAPE,),
    "Conv": (DATA, weight(0, 1), BIAS),
    "ConvTranspose": (DATA, weight(1, 0), BIAS),
    "CumSum": (DATA, SHAPE),
    "Expand": (DATA, SHAPE),
    "GatherElements": (DATA, INDEX),
    "GatherND": (DATA, INDEX),
    "GridSample": (DATA, DATA),
    "GroupNormalization": _NORM,
    "GRU": _RECURRENT,
    "InstanceNormalization": _NORM,
    "LSTM": (*_RECURRENT, STATE, BIAS),
    "LayerNormalization": _NORM,
    # A constant on the left is a weight too: its rows are the output's.
    "MatMul": (weight(-2, -1), weight(-1, -2)),
    "OneHot": (INDEX, SHAPE, BOUND),
    "PRelu": (DATA, SCALE),
    "Pad": (DATA, SHAPE, BOUND, SHAPE),
    "RNN": _RECURRENT,
    "Range": (SHAPE, SHAPE, SHAPE),
    "Reshape": (DATA, SHAPE),
    "Resize": (DATA, SHAPE, SHAPE, SHAPE),
    "ScatterElements": (DATA, INDEX, DATA),
    "ScatterND": (DATA, INDEX, DATA),
    "Slice": (DATA, SHAPE, SHAPE, SHAPE, SHAPE),
    "Split": (DATA, SHAPE),
    "Squeeze": (DATA, SHAPE),
    "Tile": (DATA, SHAPE),
    "TopK": (DATA, SHAPE),
    "Trilu": (DATA, SHAPE),
    "Unsqueeze": (DATA, SHAPE),
    "Where": (DATA, DATA, DATA),
}

_TABLE: Mapping[str, Callable[[Node], _Roles]] = {
    **dict.fromkeys(_ONE_INPUT, _same((DATA,))),
    **dict.fromkeys(_TWO_INPUTS, _same((DATA, DATA))),
    **dict.fromkeys(REDUCTIONS, _same((DATA, SHAPE))),
    **dict.fromkeys(_ANY_INPUTS, _all_data),
    **{op: _same(roles) for op, roles in _OTHERS.items()},
    "Gather": _gather,
    "Gemm": _gemm,
}

OPERATORS = frozenset(_TABLE)
"""Every operator that a graph may hold."""

COMPUTED = OPERATORS - {
    "GatherND",
    "GlobalLpPool",
    "GridSample",
    "Hardmax",
    "LRN",
    "LpPool",
    "MeanVarianceNormalization",
    "NonZero",
    "OneHot",
    "RNN",
    "ScatterElements",
    "ScatterND",
    "Size",
    "TopK",
}
"""Those that the view in torch computes; the others are read, described, and refused by name."""


def roles(node: Node) -> _Roles:
    """The role of every input of the node, left-out ones included.

    Raises KeyError for an operator that has no row.
    """
    return _TABLE[node.op](node)[: len(node.inputs)]
