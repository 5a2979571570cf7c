"""Export a torch module that has no graph as ONNX, for who uses the library.

Networks of families and uploaded ones never come here: it serves whoever hands a module of their
own to the library.

The exporter raises anything, warns, and prints graphs; here that becomes InvalidCandidate, or
nothing.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from onnx import AttributeProto, ModelProto, version_converter
from torch import Tensor, nn

from compress.network.running import foreign, older_exporter
from compress.network.signature import INPUT, OUTPUT
from compress.values.errors import InvalidCandidate

# The last version the TorchScript exporter writes every operator for, and the first with INT4.
_TRACED_OPSET = 17
_OPSET = 21
_IR_VERSION = 10
_WAY_OUT = "compose the network of operations that torch.onnx can write at opset 17"


def traced(module: nn.Module, x_NCHW: Tensor) -> ModelProto:
    """Export the module, in eval mode, as it computes for these images, with any number of them.

    Layers stay as they are: a BatchNorm is a node of its own. Raises InvalidCandidate if the
    exporter fails.
    """
    buffer = io.BytesIO()
    doing = "the network cannot be written as ONNX"
    own = (type(module).__module__,)
    with torch.no_grad(), _quietly(module), foreign.blamed(doing, way_out=_WAY_OUT, through=own):
        torch.onnx.export(
            module.eval(),
            (x_NCHW,),
            buffer,  # pyright: ignore[reportArgumentType] (any writable file will do)
            dynamo=False,
            # Or the exporter folds BatchNorm by itself, also where we have reasons not to.
            training=torch.onnx.TrainingMode.PRESERVE,
            opset_version=_TRACED_OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "N"}, OUTPUT: {0: "N"}},
        )
    graph = onnx.load_from_string(buffer.getvalue())
    _check_flat(graph)
    with foreign.blamed(f"the network's graph cannot be raised to opset {_OPSET}"):
        model = version_converter.convert_version(graph, _OPSET)
    model.ir_version = _IR_VERSION
    return model


def _check_flat(model: ModelProto) -> None:
    """Raise InvalidCandidate for loops and branches, which hold graphs of their own."""
    for node in model.graph.node:
        if any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for a in node.attribute):
            raise InvalidCandidate(
                f"the network is written as ONNX with a {node.op_type} ({node.name}), whose inner "
                "graph cannot be compressed: write it without loops and branches (an EmbeddingBag "
                "as an Embedding and a mean)"
            )


@contextmanager
def _quietly(module: nn.Module) -> Iterator[None]:
    """Suppress the exporter's warnings, and the graph that it prints before it raises.

    The warnings are of its own age, of paddings that ``onnx_graph.fold`` evaluates, and of what a
    trace may have frozen: whether it has is for the gates to find.
    """
    with older_exporter.quietly(module), warnings.catch_warnings(action="ignore"):
        yield
