"""Activation ranges: what every tensor that will be quantized holds on some training images.

The float network runs in ONNX Runtime with those tensors as extra outputs; each range is the
smallest and largest value seen. Clipping outliers instead (the 99.99th and 99.9th percentile) was
measured and gained nothing with 8 bits; see ``docs/techniques/quantization.md``. The means of
the channels serve the correction of biases (``grid.mean_shift``).

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from torch import Tensor

from compress import runtime
from compress.errors import InvalidData, NumericalError

_IMAGES_PER_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class ActivationRange:
    """Smallest and largest value of a tensor, and the mean of each of its channels (axis 1)."""

    low: float
    high: float
    mean_C: NDArray[np.float64]


def sample(x_NCHW: Tensor, *, num_images: int) -> Tensor:
    """``num_images`` images at equal distances through the split: the same ones every time."""
    if len(x_NCHW) == 0:
        raise InvalidData("calibration needs at least one training image, got none")
    taken = min(num_images, len(x_NCHW))
    return x_NCHW[np.linspace(0, len(x_NCHW) - 1, taken).round().astype(np.int64)]


def collect(
    model: ModelProto, *, tensors: Iterable[str], x_NCHW: Tensor
) -> dict[str, ActivationRange]:
    """Ranges of ``tensors`` over raw images ``x_NCHW``.

    Raises InvalidData for no images or images of another shape than the model's input, and
    NumericalError for NaN or infinity.
    """
    _check_shape(model, x_NCHW)
    names = list(tensors)
    if not names:
        return {}
    opened = runtime.session(_with_outputs(model, names).SerializeToString())
    ranges: dict[str, ActivationRange] = {}
    chunks = x_NCHW.split(_IMAGES_PER_BATCH)
    for chunk in chunks:
        share = len(chunk) / len(x_NCHW)
        values = runtime.outputs(opened, names, x_NCHW=runtime.raw(chunk))
        for name, value in zip(names, values, strict=True):
            ranges[name] = _merged(ranges.get(name), _range_of(name, value, share=share))
    return ranges


def _range_of(name: str, value: NDArray[np.float32], *, share: float) -> ActivationRange:
    low, high = float(value.min()), float(value.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise NumericalError(f"activation {name} is not finite on the calibration images")
    axes = tuple(axis for axis in range(value.ndim) if axis != 1)
    return ActivationRange(low=low, high=high, mean_C=value.mean(axes, np.float64) * share)


def _merged(before: ActivationRange | None, new: ActivationRange) -> ActivationRange:
    if before is None:
        return new
    return ActivationRange(
        low=min(before.low, new.low),
        high=max(before.high, new.high),
        mean_C=before.mean_C + new.mean_C,
    )


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
