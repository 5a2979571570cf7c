"""Activation ranges: what every tensor that will be quantized holds on some training images.

The float network runs in ONNX Runtime with those tensors as extra outputs; each range is the
smallest and largest value seen, or what an observer makes of a histogram between the two
(``histogram``), for which the images pass a second time: memory stays that of one batch.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from torch import Tensor

from compress import runtime
from compress.errors import InvalidData, NumericalError
from compress.techniques.quantization import grid, histogram
from compress.techniques.quantization.histogram import Observer

_IMAGES_PER_BATCH = 32
_Batch = list[tuple[str, NDArray[np.float32]]]


@dataclass(frozen=True, kw_only=True)
class ActivationRange:
    """Smallest and largest value of a tensor."""

    low: float
    high: float

    def on_power_of_two(self) -> ActivationRange:
        """The range of the finest 8-bit grid around this one whose scale is a power of two."""
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
    """Ranges of ``tensors`` over raw images ``x_NCHW``; ``percentile`` is in percent.

    Raises InvalidData for no images or images of another shape than the model's input, and
    NumericalError for NaN or infinity.
    """
    _check_shape(model, x_NCHW)
    names = list(tensors)
    if not names:
        return {}
    watched = _with_outputs(model, names)
    ranges: dict[str, ActivationRange] = {}
    for batch in _batches(watched, names, x_NCHW):
        for name, value in batch:
            ranges[name] = _merged(ranges.get(name), _range_of(name, value))
    if observer == "minmax":
        return ranges
    counts = {name: np.zeros(histogram.BINS, np.int64) for name in names}
    for batch in _batches(watched, names, x_NCHW):
        for name, value in batch:
            ends = (ranges[name].low, ranges[name].high)
            counts[name] += histogram.count(value, *ends)
    return {
        name: _clipped(ranges[name], counts[name], observer=observer, percentile=percentile)
        for name in names
    }


def _batches(watched: ModelProto, names: list[str], x_NCHW: Tensor) -> Iterator[_Batch]:
    opened = runtime.session(watched.SerializeToString())
    for chunk in x_NCHW.split(_IMAGES_PER_BATCH):
        values = runtime.outputs(opened, names, x_NCHW=runtime.raw(chunk))
        yield list(zip(names, values, strict=True))


def _clipped(
    seen: ActivationRange, counts_B: NDArray[np.int64], *, observer: Observer, percentile: float
) -> ActivationRange:
    low, high = histogram.clipped(
        counts_B, seen.low, seen.high, observer=observer, percentile=percentile
    )
    return replace(seen, low=low, high=high)


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
