"""Average the answers over views of the same images, in torch and as a graph.

Legend: N images, C channels, H height, W width, K classes, V views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor

from compress.network.signature import INPUT, OUTPUT
from compress.techniques.compressed import CompressedModel
from compress.techniques.mirroring.config import THE_IMAGE, Mirroring, Views

_TO_THE_FIRST = np.iinfo(np.int64).min
"""Where a slice that runs backwards ends: before the first entry of the axis."""
_SEEN, _SAID = "views.seen", "views.said"


def of(compressed: CompressedModel) -> Views:
    """Return the views over which the network's file averages."""
    mirroring = compressed.step(Mirroring)
    return THE_IMAGE if mirroring is None else mirroring.views


def mean(answer: Callable[[Tensor], Tensor], x_NCHW: Tensor, views: Views) -> Tensor:
    """Return ``mean_v answer(x reversed along v)``, ``(N, K)``."""
    return torch.stack([answer(x_NCHW.flip(axes)) for axes in views]).mean(dim=0)


def average(model: ModelProto, views: Views) -> None:
    """Let a graph on ``(N, C, H, W)`` return, in place, the mean of its answers over views.

    All views go through the graph as one batch of V times N, so that no weight is stored or read
    twice. If the image is the only view, the graph stays as it is.
    """
    if views == THE_IMAGE:
        return
    inner = {INPUT: _SEEN, OUTPUT: _SAID}
    for node in model.graph.node:
        node.input[:] = [inner.get(name, name) for name in node.input]
        node.output[:] = [inner.get(name, name) for name in node.output]
    nodes = [*_in_front(views), *model.graph.node, *_behind(len(views))]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(_slices(views))


def _in_front(views: Views) -> Iterator[NodeProto]:
    names = [_name(axes) for axes in views[1:]]
    for name in names:
        # Starts and steps are the same numbers: from the last entry, backwards.
        back = f"{name}.back"
        yield helper.make_node("Slice", [INPUT, back, f"{name}.end", f"{name}.axes", back], [name])
    yield helper.make_node("Concat", [INPUT, *names], [_SEEN], axis=0)


def _behind(count: int) -> Iterator[NodeProto]:
    names = [f"{_SAID}.{number}" for number in range(count)]
    yield helper.make_node("Split", [_SAID], names, axis=0, num_outputs=count)
    yield helper.make_node("Mean", names, [OUTPUT])


def _slices(views: Views) -> Iterator[TensorProto]:
    for axes in views[1:]:
        name, size = _name(axes), len(axes)
        yield numpy_helper.from_array(np.full(size, -1, np.int64), f"{name}.back")
        yield numpy_helper.from_array(np.full(size, _TO_THE_FIRST, np.int64), f"{name}.end")
        yield numpy_helper.from_array(np.asarray(axes, np.int64), f"{name}.axes")


def _name(axes: tuple[int, ...]) -> str:
    return "views.by" + "".join(str(axis) for axis in axes)
