"""Numpy's types of the tensors that files take, by ONNX Runtime's names. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

PORT_TYPES: Mapping[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
