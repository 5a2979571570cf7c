"""Meters, and what they measured."""

import hashlib
from typing import Any

from featherweight.specs.cluster import MeterInfo, MeterResult


def info(name: str = "board", *, boot_id: str | None = None, **changes: Any) -> MeterInfo:
    """A meter's process; the same name gives the same boot id unless one is given."""
    fields = {
        "name": name,
        "boot_id": boot_id or hashlib.md5(name.encode()).hexdigest(),
        "device": "Raspberry Pi 5",
        "cpu": "4 x Arm Cortex-A76",
        "os": "Linux 6.6 aarch64",
        "version": "0",
        "runtimes": [{"name": "onnxruntime", "version": "1.32.0"}],
    }
    return MeterInfo.model_validate(fields | changes)


def result(latency_ms: float = 2.5, **changes: Any) -> MeterResult:
    """What a meter measured in ONNX Runtime."""
    fields = {
        "runtime": {"name": "onnxruntime", "version": "1.32.0"},
        "latency_ms": latency_ms,
        "wall_p50_ms": latency_ms,
        "wall_p95_ms": 2 * latency_ms,
        "load_ms": 10.0,
        "peak_memory_bytes": 10**6,
        "clock": "cpu",
    }
    return MeterResult.model_validate({"figures": [fields | changes]})
