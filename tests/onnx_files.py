"""Small ONNX files made by code, without torch: good ones, and what a stranger may send."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

CHANNELS = 8


def network(
    *,
    image: Sequence[int | str] = (1, 8, 8),
    classes: int = 2,
    batch: int | str = "batch",
    names: tuple[str, str] = ("pixels", "scores"),
    nhwc: bool = False,
    seed: int = 0,
    before: Sequence[NodeProto] = (),
) -> bytes:
    """A convolution, a ReLU, a global mean and a linear layer; ``image`` as the file says it.

    ``before`` are nodes from ``pixels`` to ``seen``.
    """
    random = np.random.default_rng(seed)
    channels = int(image[-1] if nhwc else image[0])
    weights = {
        "first.weight": random.normal(size=(CHANNELS, channels, 3, 3)),
        "first.bias": random.normal(size=CHANNELS),
        "last.weight": random.normal(size=(classes, CHANNELS)),
        "last.bias": random.normal(size=classes),
    }
    given, answer = names
    seen = "seen" if before or nhwc else given
    perm = helper.make_node("Transpose", [given], ["seen"], name="to_nchw", perm=[0, 3, 1, 2])
    nodes = [
        *([perm] if nhwc else before),
        helper.make_node(
            "Conv", [seen, "first.weight", "first.bias"], ["a"], name="first", pads=[1, 1, 1, 1]
        ),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("GlobalAveragePool", ["b"], ["c"], name="pool"),
        helper.make_node("Flatten", ["c"], ["d"], name="flat"),
        helper.make_node(
            "Gemm", ["d", "last.weight", "last.bias"], [answer], name="last", transB=1
        ),
    ]
    return made(
        nodes,
        inputs={given: (batch, *image)},
        outputs={answer: (batch, classes)},
        weights=weights,
    ).SerializeToString()


def made(
    nodes: Sequence[NodeProto],
    *,
    inputs: dict[str, Sequence[int | str]],
    outputs: dict[str, Sequence[int | str]],
    weights: dict[str, np.ndarray],
) -> ModelProto:
    """A model of float32 at opset 17."""
    graph = helper.make_graph(
        list(nodes),
        "main",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model
