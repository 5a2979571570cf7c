"""Examples in the OpenAPI document; a test checks them against their schemas."""

from __future__ import annotations

from typing import Any

JOB_EXAMPLE: dict[str, Any] = {
    "name": "digits",
    "model": {
        "architecture": {"family": "residual", "widths": [16, 32, 64], "depths": [2, 2, 2]},
        "epochs": 12,
    },
    "data": "digits",
    "techniques": {"filter_pruning": {}, "distillation": {}, "quantization": {"weight_bits": [8]}},
    "objectives": ["maximise accuracy", "minimise size_bytes"],
    "constraints": ["accuracy >= baseline - 1 point", "size_bytes <= baseline / 8"],
    "budget": {"trials": 30, "parallel_trials": 2},
    "seed": 0,
}
TAUGHT_EXAMPLE: dict[str, Any] = JOB_EXAMPLE | {
    "name": "taught",
    "teacher": "large",
    "techniques": JOB_EXAMPLE["techniques"] | {"distillation": {"teacher": ["uploaded"]}},
}
CANDIDATES_EXAMPLE: list[dict[str, Any]] = [
    {
        "steps": [
            {"technique": "filter_pruning", "ratios": [0.2, 0.4, 0.5]},
            {"technique": "quantization", "weight_bits": 4},
        ]
    }
]
WORKER_EXAMPLE: dict[str, Any] = {
    "worker": {
        "name": "worker-1",
        "boot_id": "0123456789abcdef0123456789abcdef",
        "device": "cpu",
        "threads": 2,
        "version": "0.2.0",
    },
    "wait_seconds": 0,
}
METER_EXAMPLE: dict[str, Any] = {
    "meter": {
        "name": "kitchen-pi",
        "boot_id": "0123456789abcdef0123456789abcdef",
        "device": "Raspberry Pi 5 Model B Rev 1.0",
        "cpu": "Arm Cortex-A76",
        "os": "Linux 6.6 aarch64",
        "version": "0.2.0",
        "runtimes": [{"name": "onnxruntime", "version": "1.32.0"}],
    },
    "wait_seconds": 0,
}
