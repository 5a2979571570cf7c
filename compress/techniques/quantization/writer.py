"""Turn a float ONNX graph into one with integer weights and 8-bit activations (QDQ form).

Every tensor between two computing nodes becomes ``QuantizeLinear -> DequantizeLinear`` and every
weight ``DequantizeLinear(int8)``; ONNX Runtime fuses each computing node with its neighbours into
one integer kernel. The forms below are those it really fuses (1.32):

* activations are unsigned with an explicit zero point; signed ones keep Relu from being absorbed;
* a Relu whose output is quantized is not written at all: its range starts at zero, so its zero
  point is 0 and QuantizeLinear clips negative values exactly as Relu does;
* biases stay float in the file: as many bytes as int32, but no scales of their own. ONNX Runtime
  makes them int32 with scale ``s_x s_w`` as it loads the file; ``_least_scale`` keeps that
  quotient inside 32 bits;
* the classifier multiplies in float and only stores integers;
* 4-bit weights go through ``Cast(INT8)``, which is folded at load time, so the kernel is the one
  of 8 bits. Without the Cast nothing is fused and the network gets slower than in float.

Whatever is no computing node runs in float between the pairs, so any graph stays valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from compress.errors import InvalidCandidate
from compress.techniques.quantization import grid
from compress.techniques.quantization.calibration import ActivationRange
from compress.techniques.quantization.config import Quantization
from compress.techniques.quantization.placement import Placement

# The int32 accumulator holds the bias and the products; an eighth of it is for the bias.
_LARGEST_BIAS = 2.0**28
_STORED_AS = {
    bits: helper.tensor_dtype_to_np_dtype(kind)
    for bits, kind in {8: TensorProto.INT8, 4: TensorProto.INT4}.items()
}


def quantize(
    model: ModelProto, *, ranges: Mapping[str, ActivationRange], config: Quantization
) -> ModelProto:
    """A quantized copy of ``model``; ``ranges`` holds every one of its ``quantized_tensors``.

    Raises InvalidCandidate when the graph has no weight to quantize, and NumericalError when a
    weight or a range is not finite.
    """
    placement = Placement.of(model)
    weighted = [node.output[0] for node in model.graph.node if placement.weighted(node)]
    if not weighted:
        raise InvalidCandidate("quantization found no convolution and no linear layer")
    writing = _Writing(
        placement=placement,
        ranges=ranges,
        bits=_bits_per_layer(weighted, config),
        weights={tensor.name: tensor for tensor in model.graph.initializer},
    )
    for value in model.graph.input:
        writing.add_pair(value.name)
    for node in model.graph.node:
        writing.add_node(node)
    return writing.finished(model)


def _bits_per_layer(weighted: list[str], config: Quantization) -> dict[str, int]:
    bits = dict.fromkeys(weighted, int(config.weight_bits))
    if config.edges_8bit:
        bits |= {weighted[0]: 8, weighted[-1]: 8}
    return bits


@dataclass(frozen=True, kw_only=True)
class _Writing:
    """A quantized graph under construction."""

    placement: Placement
    ranges: Mapping[str, ActivationRange]
    bits: Mapping[str, int]
    weights: Mapping[str, TensorProto]
    nodes: list[NodeProto] = field(default_factory=list)
    tensors: dict[str, TensorProto] = field(default_factory=dict)

    def add_node(self, node: NodeProto) -> None:
        """Write one node of the float graph, and the pairs of its outputs."""
        if not self.placement.absorbed(node):
            copy = NodeProto()
            copy.CopyFrom(node)
            for index, name in enumerate(node.input):
                if self.placement.on_grid(name):
                    copy.input[index] = f"{name}.float"
            if self.placement.weighted(node):
                self._add_weight(copy, node)
            self.nodes.append(copy)
        for name in node.output:
            self.add_pair(name)

    def add_pair(self, name: str) -> None:
        """Write the way of one activation onto its grid and back, if it has one."""
        if not self.placement.on_grid(name):
            return
        grid_inputs = self._activation_grid(name)
        integers = f"{name}.q"
        self._add("QuantizeLinear", [self._source(name), *grid_inputs], integers)
        self._add("DequantizeLinear", [integers, *grid_inputs], f"{name}.float")

    def finished(self, model: ModelProto) -> ModelProto:
        """The float model with this graph in place of its own."""
        quantized = ModelProto()
        quantized.CopyFrom(model)
        del quantized.graph.node[:], quantized.graph.initializer[:]
        quantized.graph.node.extend(self.nodes)
        read = {name for node in self.nodes for name in node.input}
        floats = {name: tensor for name, tensor in self.weights.items() if name in read}
        quantized.graph.initializer.extend((floats | self.tensors).values())
        return quantized

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

    def _add_weight(self, copy: NodeProto, node: NodeProto) -> None:
        """Replace the weight of ``copy`` by integers and the way back from them."""
        name, bits = f"{node.output[0]}.weight", self.bits[node.output[0]]
        axis = 1 if node.op_type == "Gemm" and not _is_transposed(node) else 0
        weight_OI = np.moveaxis(numpy_helper.to_array(self.weights[node.input[1]]), axis, 0)
        in_integers = self.placement.in_integers(node)
        least_O = self._least_scale(node) if in_integers else None
        q_OI, scale_O = grid.quantize_weight(weight_OI, bits, smallest_scale_O=least_O)
        q = np.moveaxis(q_OI, 0, axis)
        self.tensors[name] = numpy_helper.from_array(q.astype(_STORED_AS[bits]), name)
        if in_integers:
            copy.input[1] = self._integer_weight(name, scale_O, node=node, axis=axis)
            self._correct_bias(copy, node, error_OI=grid.rounding_error(weight_OI, q_OI, scale_O))
        else:
            copy.input[1] = self._float_weight(name, scale_O, axis=axis, rank=q.ndim)

    def _integer_weight(
        self, name: str, scale_O: NDArray[np.float32], *, node: NodeProto, axis: int
    ) -> str:
        stored = name
        if self.bits[node.output[0]] < 8:
            stored = self._add("Cast", [name], f"{name}.int8", to=TensorProto.INT8)
        inputs = [stored, self._constant(f"{name}.scale", scale_O)]
        if node.op_type == "Gemm":
            # The integer kernel of Gemm, unlike that of Conv, is only taken with a zero point.
            inputs.append(self._constant(f"{name}.zero", np.zeros(len(scale_O), np.int8)))
        return self._add("DequantizeLinear", inputs, f"{name}.float", axis=axis)

    def _correct_bias(
        self, copy: NodeProto, node: NodeProto, *, error_OI: NDArray[np.float32]
    ) -> None:
        """Move the mean error of rounding the weight into the bias, where there is one."""
        if len(node.input) < 3 or node.input[2] not in self.weights:
            return
        mean_I = self.ranges[node.input[0]].mean_C
        bias_O = numpy_helper.to_array(self.weights[node.input[2]])
        shift_O = grid.mean_shift(error_OI, mean_I)
        corrected_O = (bias_O + shift_O).astype(np.float32)
        copy.input[2] = self._constant(f"{node.output[0]}.bias", corrected_O)

    def _float_weight(
        self, name: str, scale_O: NDArray[np.float32], *, axis: int, rank: int
    ) -> str:
        """``Cast -> Mul`` is folded at load time; DequantizeLinear would run in every call."""
        shape = [-1 if dimension == axis else 1 for dimension in range(rank)]
        scale = self._constant(f"{name}.scale", scale_O.reshape(shape))
        floats = self._add("Cast", [name], f"{name}.cast", to=TensorProto.FLOAT)
        return self._add("Mul", [floats, scale], f"{name}.float")

    def _least_scale(self, node: NodeProto) -> NDArray[np.float32] | None:
        """The weight scales under which the bias would not fit the kernel's accumulator."""
        if len(node.input) < 3 or node.input[2] not in self.weights:
            return None
        bias_O = numpy_helper.to_array(self.weights[node.input[2]]).astype(np.float64).ravel()
        scale_x, _ = self._parameters(self.placement.grid_of(node.input[0]))
        return (np.abs(bias_O) / (float(scale_x) * _LARGEST_BIAS)).astype(np.float32)

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.tensors.setdefault(name, numpy_helper.from_array(value, name))
        return name

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: int) -> str:
        node = helper.make_node(kind, inputs, [output])
        node.attribute.extend(
            helper.make_attribute(key, value) for key, value in attributes.items()
        )
        self.nodes.append(node)
        return output


def _is_transposed(node: NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
