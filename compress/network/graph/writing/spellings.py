"""How operators are written for an opset that lacks them, or has them in another form. Torch-free.

Graphs speak opset 21; ``OPSET_13`` says how each operator that has changed since is said in 13. An
operator that is in neither table is the same in both. What has no spelling is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from compress.network.graph.roles import REDUCTIONS
from compress.network.graph.values import Attribute, Node
from compress.network.graph.writing.draft import FileDraft

Spelling = Callable[[Node, FileDraft], None]


def without(**defaults: int | str) -> Spelling:
    """The node without attributes that the opset lacks, if they say what they say by default."""

    def spell(node: Node, draft: FileDraft) -> None:
        for name, default in defaults.items():
            value = node.attributes.get(name, default)
            said = value if isinstance(value, tuple) else (value,)
            if any(each != default for each in said):
                draft.refuse(node, f"with {name} {value!r}")
        kept = {name: v for name, v in node.attributes.items() if name not in defaults}
        draft.nodes.append(replace(node, attributes=kept))

    return spell


def refused(node: Node, draft: FileDraft) -> None:
    """No spelling."""
    draft.refuse(node)


def _reduce(node: Node, draft: FileDraft) -> None:
    """Axes were an attribute. Without any, all axes are reduced, or none if the node says so."""
    axes = draft.values(node, 1)
    if axes is None or not axes.size:
        if node.integer("noop_with_empty_axes", 0):
            draft.add(node, "Identity", node.inputs[0], to=node.output)
            return
        along: dict[str, Attribute] = {}
    else:
        along = {"axes": tuple(int(axis) for axis in axes)}
    kept: dict[str, Attribute] = {"keepdims": node.integer("keepdims", 1)}
    draft.nodes.append(replace(node, inputs=node.inputs[:1], attributes=kept | along))


def _gelu(node: Node, draft: FileDraft) -> None:
    """``x * Phi(x)``, or its approximation by tanh. Hendrycks and Gimpel, arXiv:1606.08415."""
    x = node.inputs[0]
    if node.text("approximate", "none") == "tanh":
        cube = draft.add(node, "Pow", x, draft.constant(node, "three", 3.0, np.float32))
        bent = draft.add(node, "Mul", cube, draft.constant(node, "bend", 0.044715, np.float32))
        sum_ = draft.add(node, "Add", x, bent)
        scale = draft.constant(node, "scale", math.sqrt(2 / math.pi), np.float32)
        step = draft.add(node, "Tanh", draft.add(node, "Mul", sum_, scale))
    else:
        root = draft.constant(node, "root", math.sqrt(2), np.float32)
        step = draft.add(node, "Erf", draft.add(node, "Div", x, root))
    shifted = draft.add(node, "Add", step, draft.constant(node, "one", 1.0, np.float32))
    product = draft.add(node, "Mul", x, shifted)
    draft.add(node, "Mul", product, draft.constant(node, "half", 0.5, np.float32), to=node.output)


def _hard_swish(node: Node, draft: FileDraft) -> None:
    gate = draft.add(node, "HardSigmoid", node.inputs[0], alpha=1 / 6, beta=0.5)
    draft.add(node, "Mul", node.inputs[0], gate, to=node.output)


def _mish(node: Node, draft: FileDraft) -> None:
    gate = draft.add(node, "Tanh", draft.add(node, "Softplus", node.inputs[0]))
    draft.add(node, "Mul", node.inputs[0], gate, to=node.output)


def _layer_norm(node: Node, draft: FileDraft) -> None:
    """Ba et al., arXiv:1607.06450, equation 4. Mean and deviation must be nobody's."""
    if len(node.outputs) > 1:
        draft.refuse(node, "with its mean as an output")
    axis = node.integer("axis", -1)
    first = axis if axis < 0 else axis - draft.rank(node)
    axes = tuple(range(first, 0))
    x = node.inputs[0]
    centred = draft.add(node, "Sub", x, draft.add(node, "ReduceMean", x, axes=axes, keepdims=1))
    square = draft.add(node, "Mul", centred, centred)
    variance = draft.add(node, "ReduceMean", square, axes=axes, keepdims=1)
    epsilon = draft.constant(node, "epsilon", node.number("epsilon", 1e-5), np.float32)
    deviation = draft.add(node, "Sqrt", draft.add(node, "Add", variance, epsilon))
    normal = draft.add(node, "Div", centred, deviation)
    has_bias = len(node.inputs) > 2
    scaled = draft.add(node, "Mul", normal, node.inputs[1], to="" if has_bias else node.output)
    if has_bias:
        draft.add(node, "Add", scaled, node.inputs[2], to=node.output)


def _group_norm(node: Node, draft: FileDraft) -> None:
    """An instance norm over groups, then scale and bias per channel. arXiv:1803.08494."""
    x, groups = node.inputs[0], node.integer("num_groups", 1)
    shape = draft.add(node, "Shape", x)
    split = draft.add(node, "Reshape", x, draft.constant(node, "groups", [0, groups, -1]))
    ones = draft.constant(node, "ones", np.ones(groups), np.float32)
    zeros = draft.constant(node, "zeros", np.zeros(groups), np.float32)
    epsilon = node.number("epsilon", 1e-5)
    normal = draft.add(node, "InstanceNormalization", split, ones, zeros, epsilon=epsilon)
    whole = draft.add(node, "Reshape", normal, shape)
    column = draft.constant(node, "column", [-1, *[1] * (draft.rank(node) - 2)])
    scale = draft.add(node, "Reshape", node.inputs[1], column)
    bias = draft.add(node, "Reshape", node.inputs[2], column)
    draft.add(node, "Add", draft.add(node, "Mul", whole, scale), bias, to=node.output)


def _pad(node: Node, draft: FileDraft) -> None:
    if node.text("mode", "constant") == "wrap":
        draft.refuse(node, "with mode 'wrap'")
    if len(node.inputs) < 4:
        draft.nodes.append(node)
        return
    axes, pads = draft.values(node, 3), draft.values(node, 1)
    assert axes is not None
    assert pads is not None
    rank, count = draft.rank(node), len(axes)
    full = np.zeros(2 * rank, np.int64)
    for place, axis in enumerate(axes.tolist()):
        full[axis % rank], full[rank + axis % rank] = pads[place], pads[count + place]
    value = node.inputs[2:3] if node.inputs[2] else ()
    inputs = (node.inputs[0], draft.constant(node, "pads", full), *value)
    draft.nodes.append(replace(node, inputs=inputs))


def _reshape(node: Node, draft: FileDraft) -> None:
    kept = {name: v for name, v in node.attributes.items() if name != "allowzero"}
    if node.integer("allowzero", 0):
        target = draft.values(node, 1)
        if target is not None and not target.all():
            draft.refuse(node, "to a size of 0")
    draft.nodes.append(replace(node, attributes=kept))


def _resize(node: Node, draft: FileDraft) -> None:
    for name, default in (("antialias", 0), ("keep_aspect_ratio_policy", "stretch")):
        if node.attributes.get(name, default) != default:
            draft.refuse(node, f"with {name} {node.attributes[name]!r}")
    if node.text("coordinate_transformation_mode", "half_pixel") == "half_pixel_symmetric":
        draft.refuse(node, "with symmetric half pixels")
    new = {"antialias", "axes", "keep_aspect_ratio_policy"}
    kept = {name: v for name, v in node.attributes.items() if name not in new}
    inputs = node.inputs
    if "axes" in node.attributes:
        inputs = _resize_inputs(node, draft)
    draft.nodes.append(replace(node, inputs=inputs, attributes=kept))


def _resize_inputs(node: Node, draft: FileDraft) -> tuple[str, ...]:
    """The scales of all axes. Sizes of some axes would need those of the others."""
    scales = draft.values(node, 2)
    if scales is None or len(node.inputs) > 3:
        draft.refuse(node, "to sizes of some axes")
    full = np.ones(draft.rank(node), np.float32)
    full[list(node.integers("axes"))] = scales
    return (*node.inputs[:1], "", draft.constant(node, "scales", full, np.float32))


def _shape(node: Node, draft: FileDraft) -> None:
    """Part of a shape is a slice of all of it."""
    if not {"start", "end"} & set(node.attributes):
        draft.nodes.append(node)
        return
    start = draft.constant(node, "start", [node.integer("start", 0)])
    end = draft.constant(node, "end", [node.integer("end", 2**31 - 1)])
    draft.add(node, "Slice", draft.add(node, "Shape", node.inputs[0]), start, end, to=node.output)


def _split(node: Node, draft: FileDraft) -> None:
    """Parts without sizes are equal, but for the last; they were all equal once.

    Those of an open batch stay without sizes: a runtime refuses a batch that has no equal parts.
    """
    if len(node.inputs) > 1:
        draft.nodes.append(node)
        return
    axis = node.integer("axis", 0)
    size = draft.size(node, axis)
    kept = {name: v for name, v in node.attributes.items() if name != "num_outputs"}
    if size is None and axis == 0:
        draft.nodes.append(replace(node, attributes=kept))
        return
    if size is None:
        draft.refuse(node, "into parts whose sizes are not known")
    count = node.integer("num_outputs", len(node.outputs))
    each = -(-size // count)
    parts = [min(each, size - each * place) for place in range(count)]
    inputs = (*node.inputs, draft.constant(node, "parts", parts))
    draft.nodes.append(replace(node, inputs=inputs, attributes=kept))


# ReduceSum has had its axes as an input since opset 13.
_AXES_MOVED = tuple(op for op in REDUCTIONS if op != "ReduceSum")
OPSET_13: Mapping[str, Spelling] = {
    "AveragePool": without(dilations=1),
    "BatchNormalization": without(training_mode=0),
    "Cast": without(saturate=1),
    "GRU": without(layout=0),
    "Gelu": _gelu,
    "GridSample": refused,
    "GroupNormalization": _group_norm,
    "HardSwish": _hard_swish,
    "LSTM": without(layout=0),
    "LayerNormalization": _layer_norm,
    "LpPool": without(dilations=1, ceil_mode=0),
    "Mish": _mish,
    "Pad": _pad,
    "RNN": without(layout=0),
    **dict.fromkeys(_AXES_MOVED, _reduce),
    "Reshape": _reshape,
    "Resize": _resize,
    "ScatterElements": without(reduction="none"),
    "ScatterND": without(reduction="none"),
    "Shape": _shape,
    "Split": _split,
    "Trilu": refused,
}
OPSET_21: Mapping[str, Spelling] = {}
