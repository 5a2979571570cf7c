"""How nodes hold the weight of their layer, which is ``(O, I, ...)`` for whoever works on it.

Legend: O output channels, I everything else of a weight, D directions, G gates, H hidden units.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto
from onnx.helper import get_attribute_value

_MATRIX = 2
Array: TypeAlias = NDArray[Any]
Add: TypeAlias = Callable[..., list[str]]
"""Writes a node and returns its outputs, given operator, inputs, attributes, and as ``last`` the
integers that become one more input."""


class WeightForm(ABC):
    """The form in which a node wants the weight of its layer.

    Attributes:
        places: The inputs of the node that hold the weight, in whole or each a part of it.
        bias: The input that holds one number for each output channel, if there is such an input.
        is_transposed: Whether the node wants a matrix as ``(I, O)``, which the encoding writes.
        is_product: Whether the node multiplies by the weight and does nothing else, so that there
            may be an integer kernel for it.
    """

    places: tuple[int, ...] = (1,)
    bias: int | None = 2
    is_transposed: bool = False
    is_product: bool = True

    @abstractmethod
    def weight(self, held: Sequence[Array]) -> Array:
        """Return the weight ``(O, I, ...)`` that a node holds in these tensors."""

    def arranged(self, decoded: str, add: Add) -> list[str]:
        """Return the tensors that the node reads, made of the decoded weight."""
        return [decoded]


class Rows(WeightForm):
    """The weight as it is: of a convolution, or of a Gemm with its factor transposed."""

    def weight(self, held: Sequence[Array]) -> Array:
        """Return the tensor itself."""
        return held[0]


class Columns(WeightForm):
    """A matrix with the output channels along its columns: of a MatMul, or of a plain Gemm."""

    is_transposed = True

    def weight(self, held: Sequence[Array]) -> Array:
        """Return the matrix with its axes the other way round."""
        return held[0].T


@dataclass(frozen=True)
class Turned(WeightForm):
    """A transposed convolution's ``(I, O / groups, ...)``."""

    groups: int
    shape: tuple[int, ...]

    is_product = False

    def weight(self, held: Sequence[Array]) -> Array:
        """Return it output channels first: each group by itself."""
        groups, (inputs, outputs, *kernel) = self.groups, self.shape
        grouped = held[0].reshape(groups, inputs // groups, outputs, *kernel)
        return grouped.swapaxes(1, 2).reshape(groups * outputs, inputs // groups, *kernel)

    def arranged(self, decoded: str, add: Add) -> list[str]:
        """Return the weight input channels first."""
        groups, (inputs, outputs, *kernel) = self.groups, self.shape
        if outputs == 1 and inputs == groups:
            return [decoded]
        if groups == 1:
            return add("Transpose", [decoded], perm=[1, 0, *range(2, len(self.shape))])
        split = [groups, outputs, inputs // groups, *kernel]
        (grouped,) = add("Reshape", [decoded], last=split)
        (turned,) = add("Transpose", [grouped], perm=[0, 2, 1, *range(3, len(split))])
        return add("Reshape", [turned], last=list(self.shape))


@dataclass(frozen=True)
class Stacked(WeightForm):
    """``W (D, G H, I)`` and ``R (D, G H, H)`` of an LSTM or a GRU: each a part of every row."""

    shape: tuple[int, ...]
    hidden: int

    places = (1, 2)
    bias = None
    is_product = False

    def weight(self, held: Sequence[Array]) -> Array:
        """Return a row for every direction, gate and unit."""
        stacked = np.concatenate(held, axis=2)
        return stacked.reshape(-1, stacked.shape[2])

    def arranged(self, decoded: str, add: Add) -> list[str]:
        """Cut the rows into both."""
        directions, rows, inputs = self.shape
        sizes = [inputs, self.hidden]
        (stacked,) = add("Reshape", [decoded], last=[directions, rows, sum(sizes)])
        return add("Split", [stacked], last=sizes, axis=2)


class Lookup(Columns):
    """An embedding's row for each word."""

    places = (0,)
    bias = None
    is_product = False


def form_of(node: NodeProto, constants: Mapping[str, TensorProto]) -> WeightForm | None:
    """Return how a node holds a weight in its constants; None if it holds none."""
    find = _FORMS.get(node.op_type)
    form = None if find is None else find(node, constants)
    held = form is not None and all(node.input[place] in constants for place in form.places)
    return form if held else None


def made_by(node: NodeProto) -> str:
    """Return the first tensor that a node really makes: some leave out their first output."""
    return next(name for name in node.output if name)


def _attribute(node: NodeProto, name: str, default: int) -> int:
    found = [get_attribute_value(each) for each in node.attribute if each.name == name]
    return int(found[0]) if found else default


def _gemm(node: NodeProto, constants: Mapping[str, TensorProto]) -> WeightForm:
    return Rows() if _attribute(node, "transB", 0) else Columns()


def _turned(node: NodeProto, constants: Mapping[str, TensorProto]) -> WeightForm | None:
    weight = constants.get(node.input[1])
    if weight is None:
        return None
    return Turned(_attribute(node, "group", 1), tuple(weight.dims))


def _stacked(node: NodeProto, constants: Mapping[str, TensorProto]) -> WeightForm | None:
    weight, recurrent = (constants.get(name) for name in node.input[1:3])
    if weight is None or recurrent is None:
        return None
    return Stacked(tuple(weight.dims), recurrent.dims[2])


def _table(node: NodeProto, constants: Mapping[str, TensorProto]) -> WeightForm | None:
    table = constants.get(node.input[0])
    is_float = table is not None and table.data_type == TensorProto.FLOAT
    if table is None or not is_float or len(table.dims) != _MATRIX or _attribute(node, "axis", 0):
        return None
    return Lookup()


_FORMS: Mapping[str, Callable[[NodeProto, Mapping[str, TensorProto]], WeightForm | None]] = {
    "Conv": lambda *_: Rows(),
    "ConvTranspose": _turned,
    "GRU": _stacked,
    "Gather": _table,
    "Gemm": _gemm,
    "LSTM": _stacked,
    "MatMul": lambda *_: Columns(),
}
"""The operators that have the weight of a layer, and how each holds it."""

WEIGHTED = frozenset(_FORMS) - {"Gather"}
"""The operators that multiply by it."""
