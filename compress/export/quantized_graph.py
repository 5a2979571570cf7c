"""Turn a float ONNX graph into the one that ships: stored weights, and 8-bit activations if asked.

With float activations a weight is decoded to float32 and its node runs as before. With 8-bit
activations every tensor between two computing nodes becomes ``QuantizeLinear ->
DequantizeLinear`` and every weight ``DequantizeLinear(int8)``; ONNX Runtime fuses each computing
node with its neighbours into one integer kernel. The forms below are those it really fuses (1.32):

* activations are unsigned with an explicit zero point; signed ones keep Relu from being absorbed;
* what only moves values about, such as a MaxPool or a Reshape, moves the integers themselves;
* a Relu whose output is quantized is not written at all: its range starts at zero, so its zero
  point is 0 and QuantizeLinear clips negative values exactly as Relu does;
* biases of integer layers are int32 with the scale ``s_x s_w``, which a Mul of constants makes:
  ONNX Runtime 1.10 to 1.20 fuse no layer whose bias is float (it then takes 1.9 times as long as
  the float network), 1.21 and 1.22 not at opset 21, and newer ones round the bias to that grid;
* the classifier multiplies in float and only stores integers;
* so does a layer without integer weights, which ONNX Runtime would otherwise round to 8 bits by
  itself wherever a grid comes before and after it: a LeakyRelu of slope 1, which changes nothing
  and is computed with the layer, keeps it from seeing both.

How a weight's integers are stored is the business of ``compress.export.weight_encoding``: whatever
the form, it is decoded once, as the file is loaded, but for large tables, whose rows are decoded as
they are read. Whatever is no computing node runs in float
between the pairs, so any graph stays valid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from compress.export.activation_calibration import ActivationRange
from compress.export.onnx_layers import WeightedNode
from compress.export.placement import Placement
from compress.export.weight_encoding import encoder, rows
from compress.export.weight_encoding.encoder import Decoding
from compress.export.weight_encoding.floats import Vector
from compress.export.weight_encoding.forms import Lookup, WeightForm, made_by
from compress.network.folding import Stored
from compress.network.stored_weight import StoredWeight
from compress.techniques.quantization import grid
from compress.values.errors import InvalidCandidate

# What ONNX Runtime would quantize by itself between two grids.
_ROUNDED_UNASKED = frozenset({"Conv", "ConvTranspose", "Gemm"})
# The int32 accumulator holds the bias and the products; an eighth of it is for the bias.
_LARGEST_BIAS = 2.0**28


def with_stored_weights(
    model: ModelProto,
    *,
    nodes: Mapping[str, WeightedNode],
    stored: Mapping[str, Stored],
    most_bytes: int = encoder.MOST_BYTES,
) -> ModelProto:
    """Return a copy whose weights are stored as they are; it computes in float.

    ``nodes`` are the layers by the tensors that they compute, ``stored`` the weights by layer, and
    ``most_bytes`` bounds what loading the file computes at once: with 0 nothing is packed.
    """
    placement = Placement.of(model, integer=frozenset())
    return _written(model, placement, {}, _layout(nodes, stored), most_bytes)


def with_integer_kernels(
    model: ModelProto,
    *,
    nodes: Mapping[str, WeightedNode],
    stored: Mapping[str, Stored],
    ranges: Mapping[str, ActivationRange],
    most_bytes: int = encoder.MOST_BYTES,
) -> ModelProto:
    """Return a copy that computes in 8-bit integers wherever a layer's weight is integer.

    ``ranges`` holds every one of ``placement.quantized_tensors``. Raises InvalidCandidate if no
    layer's weight is integer, or if one has scales that an integer kernel cannot have, and
    NumericalError if a range is not finite.
    """
    placement = Placement.of(model, integer=integer_nodes(nodes, stored))
    if not placement.integer:
        raise InvalidCandidate("8-bit activations need at least one layer with quantized weights")
    return _written(model, placement, ranges, _layout(nodes, stored), most_bytes)


def integer_nodes(
    nodes: Mapping[str, WeightedNode], stored: Mapping[str, Stored]
) -> frozenset[str]:
    """Return the tensors of layers with integer weights and one scale, or one per channel."""
    return frozenset(
        output
        for output, node in nodes.items()
        if node.form.is_product
        and isinstance(weight := stored.get(node.layer), StoredWeight)
        and weight.scale.ndim < 2
    )


@dataclass(frozen=True, kw_only=True)
class _Weight:
    stored: Stored
    form: WeightForm


def _layout(nodes: Mapping[str, WeightedNode], stored: Mapping[str, Stored]) -> dict[str, _Weight]:
    return {
        output: _Weight(stored=stored[node.layer], form=node.form)
        for output, node in nodes.items()
        if node.layer in stored
    }


def _written(
    model: ModelProto,
    placement: Placement,
    ranges: Mapping[str, ActivationRange],
    weights: dict[str, _Weight],
    most_bytes: int,
) -> ModelProto:
    writing = _Writing(
        placement=placement,
        ranges=ranges,
        weights=weights,
        constants={tensor.name: tensor for tensor in model.graph.initializer},
    )
    decoding = writing.add_weights(list(model.graph.node), most_bytes)
    for value in model.graph.input:
        writing.add_pair(value.name)
    for node in model.graph.node:
        writing.add_node(node)
    written = writing.finished(model)
    decoding.declare(written)
    return written


def _stays_packed(weight: _Weight) -> bool:
    return isinstance(weight.form, Lookup) and rows.stays_packed(weight.stored)


def _bias_of(output: str) -> str:
    return f"{output}.bias"


@dataclass(frozen=True, kw_only=True)
class _Writing:
    """A graph under construction.

    ``biases`` are those of integer layers by the tensors that these compute, and ``grids`` the
    activations whose grids these layers read. ``in_rows`` are the tables that stay packed.
    """

    placement: Placement
    ranges: Mapping[str, ActivationRange]
    weights: dict[str, _Weight]
    constants: Mapping[str, TensorProto]
    biases: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    grids: dict[str, str] = field(default_factory=dict)
    decoded: dict[str, str] = field(default_factory=dict)
    in_rows: dict[str, _Weight] = field(default_factory=dict)
    nodes: list[NodeProto] = field(default_factory=list)
    tensors: dict[str, TensorProto] = field(default_factory=dict)

    def add_weights(self, nodes: list[NodeProto], most_bytes: int) -> Decoding:
        """Write all stored weights, together: they may share a stream."""
        for node in nodes:
            if self.placement.in_integers(node):
                self._put_bias_on_grid(node)
        in_integers = {n.output[0] for n in nodes if self.placement.in_integers(n)}
        if most_bytes:
            self.in_rows.update({o: w for o, w in self.weights.items() if _stays_packed(w)})
        whole = {o: weight for o, weight in self.weights.items() if o not in self.in_rows}
        decoding = encoder.encode(
            {output: weight.stored for output, weight in whole.items()},
            form={o: "int8" if o in in_integers else "float" for o in whole},
            transposed=[o for o, weight in whole.items() if weight.form.is_transposed],
            vectors=self._vectors(nodes, in_integers),
            most_bytes=most_bytes,
        )
        self.decoded.update(decoding.names)
        self.nodes.extend(decoding.nodes)
        self.tensors.update(decoding.tensors)
        return decoding

    def _vectors(self, nodes: list[NodeProto], in_integers: set[str]) -> dict[str, Vector]:
        """Return the biases of all layers and the scales of integer ones, stored together."""
        found: dict[str, Vector] = {_bias_of(output): b for output, b in self.biases.items()}
        for node in nodes:
            output = made_by(node)
            if output not in self.weights:
                continue
            if output not in self.biases:
                found |= {n: numpy_helper.to_array(self.constants[n]) for n in self._biases(node)}
            stored = self.weights[output].stored
            if output in in_integers and isinstance(stored, StoredWeight) and stored.scale.ndim:
                found[f"{output}.weight.scale"] = stored.scale
        return {name: values for name, values in found.items() if values.ndim == 1}

    def add_node(self, node: NodeProto) -> None:
        """Write one node of the float graph, and the pairs of its outputs."""
        if self.placement.moves_integers(node):
            self._add_move(node)
        elif made_by(node) in self.in_rows:
            self._add_lookup(node)
        elif not self.placement.absorbed(node):
            self._add_as_it_is(node)
        for name in node.output:
            self.add_pair(name)

    def add_pair(self, name: str) -> None:
        """Write the conversion of one activation to its grid and back, if it has one."""
        if not self.placement.on_grid(name):
            return
        grid_inputs = self._activation_grid(name)
        integers = f"{name}.q"
        producer = self.placement.producer.get(name)
        if producer is None or not self.placement.moves_integers(producer):
            self._add("QuantizeLinear", [self._source(name), *grid_inputs], integers)
        readers = self.placement.readers.get(name, ())
        if not all(map(self.placement.moves_integers, readers)):
            self._add("DequantizeLinear", [integers, *grid_inputs], f"{name}.float")

    def _add_move(self, node: NodeProto) -> None:
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.input[0] = f"{node.input[0]}.q"
        copy.output[:] = [f"{name}.q" for name in node.output]
        self.nodes.append(copy)

    def _add_as_it_is(self, node: NodeProto) -> None:
        copy = NodeProto()
        copy.CopyFrom(node)
        for index, name in enumerate(node.input):
            if self.placement.on_grid(name):
                copy.input[index] = f"{name}.float"
        if made_by(node) in self.weights:
            self._read_weight(copy)
        self.nodes.append(copy)
        if self._must_be_kept_float(node):
            self._shield(copy)

    def _add_lookup(self, node: NodeProto) -> None:
        (_, ids), (output,) = node.input, node.output
        stored = self.in_rows[output].stored
        table = rows.lookup(stored, ids=ids, output=output, prefix=f"{output}.rows.")
        self.nodes.extend(table.nodes)
        self.tensors.update(table.tensors)

    def finished(self, model: ModelProto) -> ModelProto:
        """Return the float model with this graph in place of its own."""
        written = ModelProto()
        written.CopyFrom(model)
        del written.graph.node[:], written.graph.initializer[:]
        written.graph.node.extend(self.nodes)
        read = {name for node in self.nodes for name in node.input}
        floats = {name: tensor for name, tensor in self.constants.items() if name in read}
        written.graph.initializer.extend((floats | self.tensors).values())
        return written

    def _must_be_kept_float(self, node: NodeProto) -> bool:
        is_float = node.op_type in _ROUNDED_UNASKED and not self.placement.in_integers(node)
        return bool(self.ranges) and is_float and node.output[0] not in self.placement.outputs

    def _shield(self, copy: NodeProto) -> None:
        output = copy.output[0]
        copy.output[0] = f"{output}.bare"
        self.nodes.append(helper.make_node("LeakyRelu", [copy.output[0]], [output], alpha=1.0))

    def _source(self, name: str) -> str:
        node = self.placement.producer.get(name)
        if node is None or not self.placement.absorbed(node):
            return name
        before = node.input[0]
        return f"{before}.float" if self.placement.on_grid(before) else before

    def _activation_grid(self, name: str) -> list[str]:
        origin = self.placement.grid_of(name)
        scale, zero_point = self._parameters(origin)
        return [
            self._constant(f"{origin}.scale", np.asarray(scale)),
            self._constant(f"{origin}.zero", np.asarray(zero_point)),
        ]

    def _parameters(self, origin: str) -> tuple[np.float32, np.uint8]:
        return grid.affine_parameters(self.ranges[origin].low, self.ranges[origin].high)

    def _biases(self, node: NodeProto) -> list[str]:
        """Return the name of a node's biases, if it has any."""
        place = self.weights[made_by(node)].form.bias
        return [] if place is None else [name for name in node.input[place : place + 1] if name]

    def _read_weight(self, copy: NodeProto) -> None:
        """Let a node read what is stored for its layer."""
        output = made_by(copy)
        form, names = self.weights[output].form, self._biases(copy)
        tensors = form.arranged(self._weight(copy), partial(self._arrange, output))
        for place, name in zip(form.places, tensors, strict=True):
            copy.input[place] = name
        for name in names:
            read = self._integer_bias(copy) if output in self.biases else self.decoded.get(name)
            copy.input[list(copy.input).index(name)] = read or name

    def _integer_bias(self, copy: NodeProto) -> str:
        """Return the bias of an integer layer, decoded on the grid of its kernel."""
        output = made_by(copy)
        name = _bias_of(output)
        return self._add(
            "DequantizeLinear",
            [self.decoded[name], self._bias_scale(output)],
            f"{name}.float",
            axis=0,
        )

    def _bias_scale(self, output: str) -> str:
        """Return the product of both scales: of the layer's weight and of what it reads."""
        weight, name = self.weights[output].stored, f"{output}.bias.scale"
        assert isinstance(weight, StoredWeight)
        scale_x = self._parameters(self.grids[output])[0]
        if not weight.scale.ndim:
            return self._constant(name, weight.scale * scale_x)
        (scale_x_name, _) = self._activation_grid(self.grids[output])
        scales = [self.decoded[f"{output}.weight.scale"], scale_x_name]
        return self._add("Mul", scales, name)

    def _weight(self, node: NodeProto) -> str:
        """Return the decoded weight of a node, in the axes that the encoding has given it."""
        output = made_by(node)
        weight, decoded = self.weights[output], self.decoded[output]
        if not (self.placement.in_integers(node) and isinstance(weight.stored, StoredWeight)):
            return decoded
        scale = weight.stored.scale
        name = f"{output}.weight.scale"
        inputs = [decoded, self.decoded.get(name) or self._constant(name, scale)]
        if node.op_type == "Gemm":
            # The integer kernel of Gemm, unlike that of Conv, is only taken with a zero point.
            inputs.append(self._constant(f"{output}.weight.zero", np.zeros(scale.shape, np.int8)))
        return self._add(
            "DequantizeLinear", inputs, f"{output}.weight", axis=int(weight.form.is_transposed)
        )

    def _put_bias_on_grid(self, node: NodeProto) -> None:
        """Round a bias to the int32 grid of its kernel, so that the file says what is computed.

        Channels whose bias would not fit the kernel's accumulator get coarser weights: they are
        tiny next to that bias, so their error does not matter.
        """
        output = node.output[0]
        weight = self.weights[output]
        stored = weight.stored
        if len(node.input) < 3 or not isinstance(stored, StoredWeight):
            return
        bias_O = numpy_helper.to_array(self.constants[node.input[2]]).astype(np.float64).ravel()
        origin = self.placement.grid_of(node.input[0])
        scale_x = float(self._parameters(origin)[0])
        least_O = (np.abs(bias_O) / (scale_x * _LARGEST_BIAS)).astype(np.float32)
        if (least_O > stored.scale).any():
            stored = stored.coarser(least_O)
            self.weights[output] = replace(weight, stored=stored)
        step_O = scale_x * stored.scale.astype(np.float64)
        self.biases[output] = np.rint(bias_O / step_O).astype(np.int32)
        self.grids[output] = origin

    def _arrange(
        self, output: str, kind: str, inputs: list[str], *, last: Sequence[int] = (), **options: Any
    ) -> list[str]:
        """Write a node that arranges a decoded weight; a Split into as many as it has ``last``."""
        name = f"{output}.{kind}.{len(self.nodes)}"
        given = [*inputs]
        if last:
            given.append(self._constant(f"{name}.sizes", np.asarray(last, np.int64)))
        made = [f"{name}.{i}" for i in range(len(last))] if kind == "Split" else [name]
        self.nodes.append(helper.make_node(kind, given, made, **options))
        return made

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.tensors.setdefault(name, numpy_helper.from_array(np.asarray(value), name))
        return name

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: int) -> str:
        node = helper.make_node(kind, inputs, [output])
        node.attribute.extend(
            helper.make_attribute(key, value) for key, value in attributes.items()
        )
        self.nodes.append(node)
        return output
