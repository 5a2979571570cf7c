"""Channels along the operators that multiply by a weight: its filters make, its readers read.

Legend: O output channels, I input channels, K what a contraction sums over.
"""

from __future__ import annotations

import numpy as np

from compress.network.graph.coupling.axes import LabelledAxes, broadcast, stills
from compress.network.graph.coupling.operands import operand
from compress.network.graph.coupling.union_find import LabelArray
from compress.network.graph.values import Node


def convolve(node: Node, labels: LabelledAxes) -> None:
    """Conv of any dimensions: weight ``(O, I / group, ...)``."""
    _convolve(node, labels, out_axis=0)


def convolve_transposed(node: Node, labels: LabelledAxes) -> None:
    """ConvTranspose of any dimensions: weight ``(I, O / group, ...)``."""
    _convolve(node, labels, out_axis=1)


def _convolve(node: Node, labels: LabelledAxes, *, out_axis: int) -> None:
    batch, channels_I, *positions = labels.of(node.inputs[0])
    labels.hold(positions, f"the window of {node.op} {node.name} slides over them")
    weight, group = node.inputs[1], node.integer("group", 1)
    labels.stay(weight, *range(2, len(labels.shape(weight))))
    if not labels.is_constant(weight):
        labels.hold([channels_I, *labels.of(weight)], f"{node.op} {node.name} computes its weight")
    if 1 < group == len(channels_I):
        outputs_O = _depthwise(node, labels, channels_I, out_axis=out_axis)
    else:
        outputs_O = _grouped(node, labels, channels_I, out_axis=out_axis)
    if bias := operand(node, 2):
        labels.join(labels.axis(bias, 0, part="bias"), outputs_O, node)
    labels.give(node, (batch, outputs_O, *stills(labels.shape(node.output)[2:])))


def _depthwise(
    node: Node, labels: LabelledAxes, channels_I: LabelArray, *, out_axis: int
) -> LabelArray:
    """Return the outputs' labels: those of the inputs, each as often as it has outputs."""
    weight = node.inputs[1]
    outputs_O = np.repeat(channels_I, labels.shape(node.output)[1] // len(channels_I))
    filters = outputs_O if out_axis == 0 else channels_I
    labels.join(labels.axis(weight, 0, part="depthwise"), filters, node)
    # Each input channel has its own outputs: a transposed weight holds them along an axis of all.
    labels.stay(weight, 1)
    return outputs_O


def _grouped(
    node: Node, labels: LabelledAxes, channels_I: LabelArray, *, out_axis: int
) -> LabelArray:
    """Return new labels for the outputs; sections of inputs and outputs lose alike.

    Axis 1 of the weight holds the channels of one section, whichever way the layer goes.
    """
    weight, group = node.inputs[1], node.integer("group", 1)
    filters_O = labels.axis(weight, out_axis, part="filter", sections=group if out_axis == 1 else 1)
    readers_I = labels.axis(
        weight, 1 - out_axis, part="reader", sections=group if out_axis == 0 else 1
    )
    labels.join(readers_I, channels_I, node)
    if group > 1:
        labels.tie(channels_I, group)
        labels.tie(filters_O, group)
    labels.make(node, filters_O)
    return filters_O


def multiply_matrices(node: Node, labels: LabelledAxes) -> None:
    """Gemm: ``(M, K) @ (K, O)``, either of them transposed, and a bias."""
    left, right = node.inputs[:2]
    across = 1 if node.integer("transA", 0) else 0
    down = 0 if node.integer("transB", 0) else 1
    _contract(node, labels, (left, 1 - across), (right, 1 - down))
    rows = labels.axis(left, across, part="filter")
    columns_O = labels.axis(right, down, part="filter")
    result = (rows, columns_O)
    if bias := operand(node, 2):
        labels_of_bias = tuple(
            labels.axis(bias, axis, part="bias") for axis in range(len(labels.shape(bias)))
        )
        broadcast(labels, [result, labels_of_bias], node)
    _make(node, labels, result)
    labels.give(node, result)


def multiply(node: Node, labels: LabelledAxes) -> None:
    """MatMul of two tensors of any rank: the last axis of one by the axis before it of the other.

    The axes before are a batch. Where two activations meet, it is where heads of attention lie.
    """
    left, right = node.inputs[:2]
    down = max(-2, -len(labels.shape(right)))
    _contract(node, labels, (left, -1), (right, down))
    rows = [labels.axis(left, -2, part="filter")] if len(labels.shape(left)) > 1 else []
    columns = [labels.axis(right, -1, part="filter")] if len(labels.shape(right)) > 1 else []
    batch = broadcast(labels, [labels.of(left)[:-2], labels.of(right)[:-2]], node)
    if not (labels.is_constant(left) or labels.is_constant(right)):
        labels.batches.extend(batch)
    _make(node, labels, (*rows, *columns))
    labels.give(node, (*batch, *rows, *columns))


def _contract(
    node: Node, labels: LabelledAxes, one: tuple[str, int], other: tuple[str, int]
) -> None:
    """Join the axes that are summed over; of two activations no reader can be zeroed."""
    sides = [labels.axis(name, axis, part="reader") for name, axis in (one, other)]
    labels.join(sides[0], sides[1], node)
    if not (labels.is_constant(one[0]) or labels.is_constant(other[0])):
        labels.blur(sides)


def _make(node: Node, labels: LabelledAxes, result: tuple[LabelArray, ...]) -> None:
    """Say whose channels the product's axes are: those that a constant brings along."""
    left, right = (labels.is_constant(name) for name in node.inputs[:2])
    if right and not left:
        labels.make(node, result[-1])
    elif left and not right:
        labels.make(node, result[0])
