"""Numbers within a finite range, wide enough for anything that was measured. Torch-free.

Sums and ratios of such numbers are finite, too, so nothing that is computed from a report can be
an infinity. Who sends a number beyond its range is told so. Older versions took any finite number:
what they stored is read as the nearest that is allowed, and so is what we measure ourselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationInfo

RECEIVED: Mapping[str, bool] = MappingProxyType({"received": True})
"""Context of the validation of what somebody sends."""
LEAST: Final = 1e-6
MOST_MILLISECONDS: Final = 1e9
MOST_SECONDS: Final = 1e9
MOST_SPEED: Final = 1e12
MOST_FACTOR: Final = 1e6
MOST_ERROR: Final = 1e30


def _capped(most: float, *, least: float = 0.0) -> Callable[[Any, ValidationInfo], Any]:
    def cap(value: Any, info: ValidationInfo) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if info.context is RECEIVED or not is_number or not math.isfinite(value):
            return value
        # What is not above 0 was always refused where it must be, and is.
        return least if 0 < value < least else min(value, most)

    return cap


Milliseconds = Annotated[
    float,
    Field(ge=LEAST, le=MOST_MILLISECONDS, allow_inf_nan=False),
    BeforeValidator(_capped(MOST_MILLISECONDS, least=LEAST)),
]
Seconds = Annotated[
    float, Field(ge=0, le=MOST_SECONDS, allow_inf_nan=False), BeforeValidator(_capped(MOST_SECONDS))
]
Speed = Annotated[
    float,
    Field(ge=LEAST, le=MOST_SPEED, allow_inf_nan=False),
    BeforeValidator(_capped(MOST_SPEED, least=LEAST)),
]
Factor = Annotated[
    float, Field(ge=1, le=MOST_FACTOR, allow_inf_nan=False), BeforeValidator(_capped(MOST_FACTOR))
]
Error = Annotated[
    float, Field(ge=0, le=MOST_ERROR, allow_inf_nan=False), BeforeValidator(_capped(MOST_ERROR))
]
