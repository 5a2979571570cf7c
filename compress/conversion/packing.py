"""Weights of a plain file in few bytes, decoded with operators that every runtime has. Torch-free.

The forms are those of ``compress.export.weight_encoding``, spelled in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, helper, numpy_helper

from compress.conversion import decoding, tables
from compress.conversion.grids import Grid
from compress.conversion.running import Array
from compress.export.weight_encoding import encoder
from compress.export.weight_encoding.encoder import Decoding
from compress.export.weight_encoding.float_spelling import FLOATS
from compress.export.weight_encoding.floats import Vector
from compress.network.stored_weight import TOP, SparseFloat, StoredWeight
from compress.targets import rules
from compress.values.errors import TargetParityError

_MATRIX = 2
_LEAST_WEIGHTS = 32
_WHOLE = np.ones((), np.float32)
# What may take vectors that are computed: nobody asks these for shapes, sizes or factors.
_TAKES_VECTORS = frozenset(
    {"Add", "BatchNormalization", "Conv", "ConvTranspose", "DequantizeLinear", "Gemm", "Mul"}
)
_MUL_BYTES = 24


def packed(model: ModelProto, grids: Mapping[str, Grid], *, most_bytes: int) -> ModelProto:
    """Return the plain model with its weights, scales and biases in their smallest forms.

    ``grids`` are those of float weights by name, and ``most_bytes`` bounds what loading the file
    computes at once. Raises TargetParityError if a constant would not be the same to the bit.
    """
    made = ModelProto()
    made.CopyFrom(model)
    tables.pack(made, grids)
    whole = ModelProto()
    whole.CopyFrom(made)
    products = list(_products(made))
    _drop(made, {name for name, *_ in products})
    constants = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    chosen = _Chosen.of(made, constants, grids)
    written = chosen.encoded(most_bytes)
    names = written.names | {name: f"product.{n}" for n, (name, *_) in enumerate(products)}
    factors = [
        helper.make_node("Mul", [names.get(f, f) for f in (scale_w, scale_x)], [names[name]])
        for name, scale_w, scale_x in products
    ]
    _drop(made, set(written.names))
    _put(made, written, [*written.nodes, *factors], names)
    _prove(whole, made, names)
    return made


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """What is stored anew: weights with the form that their readers take, and vectors."""

    weights: dict[str, StoredWeight | SparseFloat]
    transposed: frozenset[str]
    integer: frozenset[str]
    vectors: dict[str, Vector]

    @classmethod
    def of(
        cls, model: ModelProto, constants: Mapping[str, Array], grids: Mapping[str, Grid]
    ) -> _Chosen:
        outputs = {port.name for port in model.graph.output}
        weights = {
            name: _weight(values, grids.get(name))
            for name, values in constants.items()
            if _is_weight(values, grids.get(name)) and name not in outputs
        }
        return cls(
            weights=weights,
            transposed=frozenset(n for n in weights if n in grids and grids[n].transposed),
            integer=frozenset(n for n in weights if constants[n].dtype == np.int8),
            vectors=_vectors(model, constants),
        )

    def encoded(self, most_bytes: int) -> Decoding:
        return encoder.encode(
            self.weights,
            form={name: "int8" if name in self.integer else "float" for name in self.weights},
            transposed=self.transposed,
            vectors=self.vectors,
            most_bytes=most_bytes,
            spelling=FLOATS,
        )


def _is_weight(values: Array, grid: Grid | None) -> bool:
    """Whether all forms hold these values: -128 is in none, -0 only by a negative scale."""
    if values.ndim < _MATRIX or values.size < _LEAST_WEIGHTS:
        return False
    if values.dtype == np.int8:
        return bool(values.min() >= -TOP)
    is_float = values.dtype == np.float32 and bool(np.isfinite(values).all())
    return is_float and (grid is not None or not (np.signbit(values) & (values == 0)).any())


def _weight(values: Array, grid: Grid | None) -> StoredWeight | SparseFloat:
    if values.dtype == np.int8:
        return StoredWeight(integers_OI=values, scale=_WHOLE)
    return SparseFloat(values_OI=values) if grid is None else grid.stored


def _vectors(model: ModelProto, constants: Mapping[str, Array]) -> dict[str, Vector]:
    other = {
        name
        for node in model.graph.node
        if node.op_type not in _TAKES_VECTORS
        for name in node.input
    }
    other |= {port.name for port in model.graph.output}
    return {
        name: values
        for name, values in constants.items()
        if values.dtype in (np.float32, np.int32)
        and values.ndim == 1
        and values.size > 1
        and np.isfinite(values).all()
        and name not in other
    }


def _products(model: ModelProto) -> Iterator[tuple[str, str, str]]:
    """Yield the scales of biases that are the product of two others: bias, kernel, activation."""
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    dropped: set[str] = set()
    factors: set[str] = set()
    for node in rules.integer_layers(model):
        bias = makers.get(node.input[2]) if len(node.input) > 2 else None
        scale_x, scale_w = (makers[name].input[1] for name in node.input[:2])
        if bias is None or not {scale_x, scale_w, bias.input[1]} <= tensors.keys() - dropped:
            continue
        name = bias.input[1]
        scale = tensors[name]
        is_product = np.array_equal(tensors[scale_w] * tensors[scale_x], scale)
        is_worth = scale.nbytes > _MUL_BYTES and name not in {*factors, scale_w, scale_x}
        if is_product and is_worth:
            dropped.add(name)
            factors.update((scale_w, scale_x))
            yield name, scale_w, scale_x


def _drop(model: ModelProto, names: set[str]) -> None:
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in names]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _put(
    model: ModelProto, written: Decoding, early: list[NodeProto], names: Mapping[str, str]
) -> None:
    """Put the nodes that decode in front of all others, which read what they make."""
    for node in model.graph.node:
        inputs = [names.get(name, name) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
    others = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*early, *others])
    model.graph.initializer.extend(written.tensors.values())


def _prove(plain: ModelProto, made: ModelProto, names: Mapping[str, str]) -> None:
    expected = {t.name: numpy_helper.to_array(t) for t in plain.graph.initializer}
    nodes, _ = decoding.split(made)
    values = decoding.computed(made, nodes, list(dict.fromkeys(names.values())))
    for name, ours in names.items():
        found, own = values[ours], expected[name]
        same = (found.dtype, found.shape) == (own.dtype, own.shape)
        if not same or found.tobytes() != own.tobytes():
            raise TargetParityError(
                f"constant {name[:80]!r} is not decoded to the bit in onnxruntime "
                f"{onnxruntime.__version__}: take the file in plain form"
            )
