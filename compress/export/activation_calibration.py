"""Measure the ranges of all tensors that will be quantized, on some training images.

The float network runs in ONNX Runtime with those tensors as extra outputs. Each range is the
smallest and largest value seen, or what an observer makes of histograms between the two
(``histogram``), for which the images pass a second time: memory stays that of one batch.

Shapes: N images, C channels, H rows, W columns, X values of one image.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from torch import Tensor

from compress.evaluation import runtime
from compress.export import histogram
from compress.techniques.quantization import grid
from compress.values.errors import InvalidData, NumericalError
from compress.values.measurement import Observer

_IMAGES_PER_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class ActivationRange:
    """The smallest and the largest value of a tensor."""

    low: float
    high: float

    def on_power_of_two(self) -> ActivationRange:
        """Widen the range to the finest 8-bit grid around it whose scale is a power of two."""
        scale, _ = grid.affine_parameters(self.low, self.high)
        step = float(2.0 ** np.ceil(np.log2(float(scale))))
        below = float(np.clip(np.rint(-min(self.low, 0.0) / step), 0, grid.ACTIVATION_LEVELS))
        return ActivationRange(low=-below * step, high=(grid.ACTIVATION_LEVELS - below) * step)


def collect(
    model: ModelProto,
    *,
    tensors: Iterable[str],
    x_NCHW: Tensor,
    observer: Observer = "minmax",
    percentile: float = 99.9,
) -> dict[str, ActivationRange]:
    """Return ranges of ``tensors`` over raw images ``x_NCHW``; ``percentile`` is in percent.

    Raises InvalidData for no images or images of another shape than the model's input, and
    NumericalError for NaN or infinity.
    """
    _check_shape(model, x_NCHW)
    names = list(tensors)
    if not names:
        return {}
    watched = _with_outputs(model, names)
    ranges: dict[str, ActivationRange] = {}
    varying: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for name, value_NX in _values(watched, names, x_NCHW):
        ranges[name] = _merged(ranges.get(name), _range_of(name, value_NX))
        if observer == "mse":
            varying[name].append(histogram.varying(value_NX))
    if observer == "minmax":
        return ranges
    seen = {
        name: histogram.RangeStatistics(
            bins=histogram.Bins(low=found.low, high=found.high),
            observer=observer,
            percentile=percentile,
            usual=histogram.usual(varying[name]),
        )
        for name, found in ranges.items()
        if found.low < found.high
    }
    for name, value_NX in _values(watched, list(seen), x_NCHW):
        seen[name].add(value_NX)
    return ranges | {name: _clipped(each) for name, each in seen.items()}


def _values(
    watched: ModelProto, names: list[str], x_NCHW: Tensor
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the values ``(N, X)`` of every tensor, batch by batch."""
    if not names:
        return
    opened = runtime.session(watched.SerializeToString())
    for chunk in x_NCHW.split(_IMAGES_PER_BATCH):
        for name, value in zip(
            names, runtime.outputs(opened, names, x_NCHW=runtime.raw(chunk)), strict=True
        ):
            # What is the same for all images need not have a value for each.
            rows = len(chunk) if value.size % len(chunk) == 0 else 1
            yield name, value.reshape(rows, -1)


def _clipped(seen: histogram.RangeStatistics) -> ActivationRange:
    low, high = seen.range()
    return ActivationRange(low=low, high=high)


def _range_of(name: str, value: NDArray[np.float32]) -> ActivationRange:
    low, high = float(value.min()), float(value.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise NumericalError(f"activation {name} is not finite on the calibration images")
    return ActivationRange(low=low, high=high)


def _merged(before: ActivationRange | None, new: ActivationRange) -> ActivationRange:
    if before is None:
        return new
    return ActivationRange(low=min(before.low, new.low), high=max(before.high, new.high))


def _with_outputs(model: ModelProto, names: list[str]) -> ModelProto:
    watched = ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    return watched


def _check_shape(model: ModelProto, x_NCHW: Tensor) -> None:
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    expected = [dimension.dim_value for dimension in dimensions][1:]
    if len(x_NCHW) == 0 or list(x_NCHW.shape[1:]) != expected:
        raise InvalidData(f"calibration needs images of shape {expected}, got {list(x_NCHW.shape)}")
