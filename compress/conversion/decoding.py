"""Files whose constants are decoded: nothing is left to compute when they are loaded. Torch-free.

What a file computes from its constants alone, it would compute whenever it is loaded, in any
runtime that can. Here ONNX Runtime computes it once. DequantizeLinear stays: runtimes make integer
kernels of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from compress.conversion import running
from compress.targets import rules

_DEQUANTIZE = "DequantizeLinear"


def decoded(model: ModelProto) -> ModelProto:
    """Return the model without nodes that read nothing but constants, DequantizeLinear excepted.

    Functions that only such nodes call leave with them. Raises TargetParityError if ONNX Runtime
    cannot compute them.
    """
    early, late = split(model)
    read = {name for node in late for name in node.input} | {o.name for o in model.graph.output}
    names = [name for node in early for name in node.output if name in read]
    whole = _with_nodes(model, late)
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del whole.graph.initializer[:]
    made = [numpy_helper.from_array(v, k) for k, v in computed(model, early, names).items()]
    whole.graph.initializer.extend([*kept, *made])
    if not any(node.domain for node in late):
        del whole.functions[:]
        standard = [entry for entry in model.opset_import if not entry.domain]
        del whole.opset_import[:]
        whole.opset_import.extend(standard)
    return whole


def with_integer_biases(model: ModelProto) -> None:
    """Give layers of integers int32 biases, in place, on the grid ``s_x s_w`` of their kernel.

    Files of older revisions have float biases that lie on that grid already.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in list(rules.integer_layers(model)):
        bias = tensors.get(node.input[2]) if len(node.input) > 2 else None
        scales = [tensors.get(makers[name].input[1]) for name in node.input[:2]]
        if bias is None or bias.data_type != TensorProto.FLOAT or None in scales:
            continue
        scale_x, scale_w = (numpy_helper.to_array(s).astype(np.float64) for s in scales if s)
        step = scale_x * scale_w
        integers = np.rint(numpy_helper.to_array(bias) / step).astype(np.int32)
        _put_bias(model, node, integers, step.astype(np.float32))


def _put_bias(model: ModelProto, node: NodeProto, integers: np.ndarray, scale: np.ndarray) -> None:
    name = f"{next(iter(node.output))}_bias"
    tensors = {f"{name}_integers": integers, f"{name}_scale": scale}
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in tensors.items())
    decode = helper.make_node(_DEQUANTIZE, [*tensors], [name], axis=0)
    model.graph.node.insert(list(model.graph.node).index(node), decode)
    node.input[2] = name


def split(model: ModelProto) -> tuple[list[NodeProto], list[NodeProto]]:
    """Return the nodes that constants alone decide, and all others."""
    known = {"", *(tensor.name for tensor in model.graph.initializer)}
    early: list[NodeProto] = []
    late: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type != _DEQUANTIZE and known.issuperset(node.input):
            known.update(node.output)
            early.append(node)
        else:
            late.append(node)
    return early, late


def computed(
    model: ModelProto, nodes: Sequence[NodeProto], names: Sequence[str]
) -> dict[str, running.Array]:
    """Return what ``nodes`` make of the model's constants, by ``names`` of outputs or constants.

    Raises TargetParityError if ONNX Runtime cannot compute them.
    """
    if not names:
        return {}
    alone = _with_nodes(model, nodes)
    for field in ("input", "output", "value_info"):
        alone.graph.ClearField(field)
    alone.graph.output.extend(ValueInfoProto(name=name) for name in names)
    values = running.run(alone, names, {}, optimise=False)
    return dict(zip(names, values, strict=True))


def _with_nodes(model: ModelProto, nodes: Sequence[NodeProto]) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy
