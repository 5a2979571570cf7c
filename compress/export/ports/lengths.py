"""Files that leave sizes open answer at other sizes, too, and rows of ids alike however padded.

A network works at the sizes of its data. What its file leaves open (the length of sequences,
height and width) stays open in every file made of it: the file is compared with the network built
anew for another size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import Tensor

from compress.evaluation import runtime
from compress.export import parity
from compress.export.ports import file_ports
from compress.network.graph.shapes import bind
from compress.network.graph.values import Graph, GraphPort
from compress.network.graph.view.absorbing import absorb
from compress.network.graph.view.module import GraphModule
from compress.network.graph.view.program import GraphedModule
from compress.network.network import Network
from compress.network.signature import BATCH, INPUT, OUTPUT, ExampleShape, Signature
from compress.network.sources import onnx_trial
from compress.network.sources.ports import padding
from compress.network.sources.ports.padding import INVARIANT
from compress.values.errors import (
    ExportParityError,
    InvalidCandidate,
    InvalidNetwork,
    NumericalError,
)

_BROKEN = 0.05
"""A file whose answers change by more with padding, though its network's do not, is wrong."""
_EXAMPLES = 3
_CLOSE, _RESOLUTION, _ROUNDING = 1e-3, 1e-5, 1e-6
"""Largest error at another size: of the spread of the answers, of each of them, and of float32.

Chances close to 0 are differences of numbers of the size of 1.
"""


def check(model: ModelProto, network: Network, x_NCHW: Tensor) -> tuple[str, ...]:
    """Compare a float file with its network at another size, where its ports leave sizes open.

    Returns a note if the network runs at no other. Raises ExportParityError or NumericalError.
    """
    axes = network.signature.open_axes
    if not axes or not isinstance(network.module, GraphedModule):
        return ()
    graph = _open_graph(network, network.module)
    for x in _others(x_NCHW[:_EXAMPLES], axes):
        reference = _answers_at(graph, network, x)
        if reference is not None:
            _compare(_declared(model, network.signature), reference, x, network.signature)
            return ()
    shape = "x".join(map(str, network.input_shape))
    return (f"its ports leave sizes open, but it runs only on examples of {shape}",)


def check_padding(
    model: ModelProto, network: Network, x_NCHW: Tensor, *, in_float: ModelProto
) -> tuple[str, ...]:
    """Return a note if answers to rows of ids change with padding.

    Raises ExportParityError if they do though those of the file ``in_float``, which has been
    proven to answer as the network, do not.
    """
    signature = network.signature
    if not isinstance(network.module, GraphedModule):
        return ()
    graph = network.module.program_for(signature).graph
    if not padding.applies(signature, onnx_trial.rows_of(graph, INPUT)):
        return ()
    x = padding.rows(runtime.raw(x_NCHW))
    found = _changed(model, signature, x)
    if found is None or found <= INVARIANT:
        return ()
    before = found if model is in_float else _changed(in_float, signature, x)
    if before is not None and before <= INVARIANT and found > _BROKEN:
        raise ExportParityError(
            f"answers of the file change with padding by {found:.2g} of their spread, those of "
            f"the network by {before:.2g}"
        )
    return (padding.changes(found),)


def _changed(model: ModelProto, signature: Signature, x: NDArray[np.float32]) -> float | None:
    """By how much answers change with padding; None if the file does not run at other lengths."""
    opened, names = (
        runtime.session(_declared(model, signature)),
        [port.name for port in signature.outputs],
    )
    try:
        return padding.change(
            lambda some: runtime.outputs(opened, names, x_NCHW=some, signature=signature), x
        )
    except ExportParityError:
        return None


def _declared(model: ModelProto, signature: Signature) -> bytes:
    """Return the file with its ports as they are delivered: as open as those of the upload."""
    said = ModelProto()
    said.CopyFrom(model)
    file_ports.declare(said, signature)
    return said.SerializeToString()


def _open_graph(network: Network, module: GraphedModule) -> Graph:
    return absorb(module, module.program_for(network.signature), is_open=True)


def _answers_at(graph: Graph, network: Network, x: Tensor) -> NDArray[np.float32] | None:
    """What the network answers to examples of another shape; None if it does not run on them."""
    other = _at(graph, network, tuple(x.shape[1:]))
    try:
        return None if other is None else parity.torch_logits(other, x)
    except InvalidCandidate:
        return None


def _at(graph: Graph, network: Network, shape: ExampleShape) -> Network | None:
    """The network for examples of another shape; None if its sizes do not fit them."""
    port = GraphPort(name=INPUT, dtype="float32", shape=(BATCH, *shape))
    resized = replace(graph, inputs=(port,))
    try:
        shapes = bind(resized, {BATCH: _EXAMPLES})
        module = GraphModule(resized, shapes)
    except InvalidNetwork:
        return None
    if shapes[OUTPUT][:1] != (_EXAMPLES,):
        return None
    return replace(network, module=module, input_shape=shape)


def _others(x_NCHW: Tensor, axes: Sequence[int]) -> Iterator[Tensor]:
    """Examples of half the size along the open axes, of twice it, and of all but one."""
    half, less = x_NCHW, x_NCHW
    twice = x_NCHW
    for axis in axes:
        size = x_NCHW.shape[axis]
        half = half.narrow(axis, 0, max(1, (size + 1) // 2))
        less = less.narrow(axis, 0, max(1, size - 1))
        twice = torch.cat([twice, twice], dim=axis)
    yield from (each.contiguous() for each in (half, twice, less))


def _compare(model: bytes, reference: NDArray[np.float32], x: Tensor, signature: Signature) -> None:
    found = runtime.answers(runtime.session(model), x, signature=signature)
    size = "x".join(map(str, x.shape[1:]))
    if found.shape != reference.shape:
        raise ExportParityError(
            f"on examples of {size} the file answers {found.shape}, expected {reference.shape}"
        )
    spread = float(reference.std()) or 1.0
    allowed = _CLOSE * spread + _RESOLUTION * np.abs(reference) + _ROUNDING
    excess = np.abs(found - reference) - allowed
    if not np.isfinite(excess).all():
        raise NumericalError(f"on examples of {size} answers are NaN or infinity")
    if excess.max() > 0:
        raise ExportParityError(
            f"on examples of {size}, which the ports allow, the file differs from the network by "
            f"{np.abs(found - reference).max():.3g} at a spread of {spread:.3g}"
        )
