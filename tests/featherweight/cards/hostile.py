"""Files whose names are what a stranger could give them, and what their answers are."""

from __future__ import annotations

import json

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

IMAGE = (3, 5, 7)
"""Channels, height and width."""
INPUT, OUTPUT = 'im"+x\\', 'out\\"\n$y'
NAMES = (
    '"; System.exit(1); //',
    "\\u0022; \\x22 ??/ %s %d $$x ${y} `${1}`",
    "</script><script>alert(1)</script>\n<!-- ''' \"\"\"",
    "\U0001f600 \u00e9 \u202e\u0000 | [a](b) *c*",
)
SHOWN = (
    '"; System.exit(1); //',
    "\\u0022; \\x22 ??/ %s %d $$x ${y} `${1}`",
    "</script><script>alert(1)</script>\\u000a<!-- ''' \"\"\"",
    "\U0001f600 \u00e9 \\u202e\\u0000 | [a](b) *c*",
)
"""The names as programs print them."""


def network(
    dtype: str = "uint8", *, layout: str = "NHWC", softmax: bool = True, names: object = NAMES
) -> ModelProto:
    """A linear layer behind a cast, with class names in the metadata."""
    channels, height, width = IMAGE
    axes = [height, width, channels] if layout == "NHWC" else [channels, height, width]
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weight = np.random.default_rng(0).normal(size=(105, len(NAMES))).astype(np.float32) / 500
    scores = OUTPUT if not softmax else "scores"
    nodes = [
        helper.make_node("Cast", [INPUT], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], [scores]),
    ]
    nodes += [helper.make_node("Softmax", [scores], [OUTPUT])] if softmax else []
    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info(INPUT, kind, ["N", *axes])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", len(NAMES)])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7, producer_name="test"
    )
    helper.set_model_props(model, {"featherweight.class_names": json.dumps(names)})
    return model


def values() -> np.ndarray:
    """Raw values of one image, in the order of its file, all of which every type holds."""
    return np.random.default_rng(1).integers(0, 128, 105).astype("<f4")


def lines(model: ModelProto) -> list[str]:
    """What a program prints for ``values``, computed without one."""
    weight = numpy_helper.to_array(model.graph.initializer[0]).astype(np.float64)
    scores = values() @ weight
    if model.graph.node[-1].op_type == "Softmax":
        scores = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    order = np.argsort(-scores, kind="stable")
    return [f"{scores[k]:.5f}\t{SHOWN[k]}" for k in order]
