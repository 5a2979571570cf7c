"""A torch module as an ONNX graph: the one place that calls the exporter, which is not ours.

It raises what it likes, warns, and prints graphs; here that becomes InvalidCandidate, or nothing.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from onnx import ModelProto, version_converter
from torch import Tensor, nn

from compress import foreign
from compress.runtime import INPUT, OUTPUT

# The last version the TorchScript exporter writes every operator for, and the first with INT4.
_TRACED_OPSET = 17
_OPSET = 21
_IR_VERSION = 10
_WAY_OUT = "compose the network of operations that torch.onnx can write at opset 17"


def traced(module: nn.Module, x_NCHW: Tensor) -> ModelProto:
    """The module, in eval mode, as it computes for these images, with any number of them.

    Layers stay as they are: a BatchNorm is a node of its own. Raises InvalidCandidate where the
    exporter fails.
    """
    buffer = io.BytesIO()
    doing = "the network cannot be written as ONNX"
    own = (type(module).__module__,)
    with torch.no_grad(), _quietly(), foreign.blamed(doing, way_out=_WAY_OUT, through=own):
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
    with foreign.blamed(f"the network's graph cannot be raised to opset {_OPSET}"):
        model = version_converter.convert_version(graph, _OPSET)
    model.ir_version = _IR_VERSION
    return model


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's warnings, and without the graph that it prints before it raises.

    The warnings are of its own age, of paddings that ``onnx_graph.fold`` evaluates, and of what a
    trace may have frozen: whether it has is the gates' business.
    """
    torch._C._jit_set_onnx_log_enabled(False)
    with warnings.catch_warnings(action="ignore"):
        yield
