"""Operators that work value by value, with broadcasting, and casts.

The table's functions take every given input of the node, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional

from compress.network.graph.view.operators.site import Site, unsupported

_TO_TORCH: Mapping[int, torch.dtype] = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    # 16 bits are 32 in memory, as everywhere in a graph.
    10: torch.float32,
    11: torch.float64,
    16: torch.float32,
}

FIXED: Mapping[str, Callable[..., Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Add": torch.add,
    "And": torch.logical_and,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Equal": torch.eq,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "HardSwish": functional.hardswish,
    "Identity": lambda x: x,
    "IsInf": torch.isinf,
    "IsNaN": torch.isnan,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Log": torch.log,
    "Mish": functional.mish,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Or": torch.logical_or,
    "PRelu": lambda x, slope: torch.where(x < 0, x * slope, x),
    "Pow": lambda x, y: torch.pow(x, y.to(x.dtype)),
    "Reciprocal": torch.reciprocal,
    "Round": torch.round,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Softplus": functional.softplus,
    "Softsign": functional.softsign,
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
    "Where": torch.where,
    "Xor": torch.logical_xor,
}


def max_of(*values: Tensor) -> Tensor:
    """The largest, value by value."""
    return reduce(torch.maximum, values)


def min_of(*values: Tensor) -> Tensor:
    """The smallest, value by value."""
    return reduce(torch.minimum, values)


def sum_of(*values: Tensor) -> Tensor:
    """The sum, value by value."""
    return reduce(torch.add, values)


def mean_of(*values: Tensor) -> Tensor:
    """The mean, value by value."""
    return reduce(torch.add, values) / len(values)


def _div(site: Site) -> Callable[..., Tensor]:
    def divide(x: Tensor, y: Tensor) -> Tensor:
        if x.is_floating_point():
            return torch.div(x, y)
        return torch.div(x, y, rounding_mode="trunc")

    return divide


def _mod(site: Site) -> Callable[..., Tensor]:
    return torch.fmod if site.attribute("fmod", 0) else torch.remainder


def _cast(site: Site) -> Callable[..., Tensor]:
    target = site.attribute("to", 1)
    if target not in _TO_TORCH:
        raise unsupported(site.node, f"casts to element type {target}, which has no tensors here")
    dtype = _TO_TORCH[target]
    return lambda x: x.to(dtype)


def _clip(site: Site) -> Callable[..., Tensor]:
    low, high = (_bound(site, place) for place in (1, 2))
    return lambda x: torch.clamp(x, low, high) if (low, high) != (None, None) else x


def _bound(site: Site, place: int) -> float | None:
    found = site.static(place)
    return None if found is None else found.reshape(-1)[0].item()


def _hard_sigmoid(site: Site) -> Callable[..., Tensor]:
    alpha, beta = site.attribute("alpha", 0.2), site.attribute("beta", 0.5)
    return lambda x: torch.clamp(alpha * x + beta, 0.0, 1.0)


def _leaky(site: Site) -> Callable[..., Tensor]:
    alpha = site.attribute("alpha", 0.01)
    return lambda x: functional.leaky_relu(x, alpha)


def _elu(site: Site) -> Callable[..., Tensor]:
    alpha = site.attribute("alpha", 1.0)
    return lambda x: functional.elu(x, alpha)


def _celu(site: Site) -> Callable[..., Tensor]:
    alpha = site.attribute("alpha", 1.0)
    return lambda x: functional.celu(x, alpha)


def _selu(site: Site) -> Callable[..., Tensor]:
    alpha, gamma = site.attribute("alpha", 1.6732632), site.attribute("gamma", 1.050701)
    return lambda x: gamma * torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))


def _thresholded(site: Site) -> Callable[..., Tensor]:
    alpha = site.attribute("alpha", 1.0)
    return lambda x: torch.where(x > alpha, x, torch.zeros_like(x))


def _shrink(site: Site) -> Callable[..., Tensor]:
    lambd, bias = site.attribute("lambd", 0.5), site.attribute("bias", 0.0)

    def shrink(x: Tensor) -> Tensor:
        zero = torch.zeros_like(x)
        return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, zero))

    return shrink


def _gelu(site: Site) -> Callable[..., Tensor]:
    approximate = site.attribute("approximate", "none")
    return lambda x: functional.gelu(x, approximate=approximate)


def _softmax(site: Site) -> Callable[..., Tensor]:
    axis = site.axis(-1)
    return lambda x: torch.softmax(x, axis)


def _log_softmax(site: Site) -> Callable[..., Tensor]:
    axis = site.axis(-1)
    return lambda x: torch.log_softmax(x, axis)


BUILT: Mapping[str, Callable[[Site], Callable[..., Tensor]]] = {
    "Cast": _cast,
    "Celu": _celu,
    "Clip": _clip,
    "Div": _div,
    "Elu": _elu,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": _leaky,
    "LogSoftmax": _log_softmax,
    "Max": lambda _: max_of,
    "Mean": lambda _: mean_of,
    "Min": lambda _: min_of,
    "Mod": _mod,
    "Selu": _selu,
    "Shrink": _shrink,
    "Softmax": _softmax,
    "Sum": lambda _: sum_of,
    "ThresholdedRelu": _thresholded,
}
"""Those that read attributes or bounds first."""
