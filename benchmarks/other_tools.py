"""What other tools make of a float ONNX file, each in an environment of its own.

``python -m benchmarks.resnet20_peers --others PYTHON`` runs it with the Python of an environment
that has ``nncf``, ``olive-ai`` and ``requests``; it imports nothing of ours. Called as
``PYTHON benchmarks/other_tools.py TOOL MODEL IMAGES FOLDER``, where ``IMAGES`` is an npz:
``calibration`` and ``validation``, raw pixels ``(N, 3, H, W)`` in float32, and ``labels`` of the
latter. The file goes into ``FOLDER``; the last line printed is a JSON object of its path and the
processor seconds, imports left out.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx

Images = Mapping[str, Any]
_INPUT = "input"
_OLIVE_TRIALS = 8


def nncf_defaults(model: Path, images: Images, folder: Path) -> Callable[[], Path]:
    """Post-training quantization with the tool's defaults."""
    nncf = import_module("nncf")

    def run() -> Path:
        rows = [row[None] for row in images["calibration"]]
        dataset = nncf.Dataset(rows, lambda row: {_INPUT: row})
        quantized = nncf.quantize(onnx.load(model), dataset, subset_size=len(rows))
        path = folder / "nncf.onnx"
        onnx.save(quantized, path)
        return path

    return run


def olive_search(model: Path, images: Images, folder: Path) -> Callable[[], Path]:
    """Eight trials of its joint search (TPE) over static quantization, accuracy first."""
    registry = import_module("olive.data.registry").Registry
    workflows = import_module("olive.workflows")

    @registry.register_dataset("calibration_images")
    def calibration(**_: Any) -> list[tuple[dict[str, Any], int]]:
        return [({_INPUT: row}, 0) for row in images["calibration"]]

    @registry.register_dataset("validation_images")
    def validation(**_: Any) -> list[tuple[dict[str, Any], int]]:
        pairs = zip(images["validation"], images["labels"], strict=True)
        return [({_INPUT: row}, int(label)) for row, label in pairs]

    @registry.register_post_process("largest_logit")
    def largest(output: Any, **_: Any) -> Any:
        return (output["logits"] if isinstance(output, dict) else output).argmax(-1)

    def run() -> Path:
        workflows.run(_olive_config(model, folder / "olive"))
        [best] = (folder / "olive").rglob("*.onnx")
        return best

    return run


def _olive_config(model: Path, folder: Path) -> dict[str, Any]:
    def data(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "type": "DataContainer",
            "load_dataset_config": {"type": name},
            "dataloader_config": {"batch_size": 32},
            "post_process_data_config": {"type": "largest_logit"},
        }

    accuracy = {
        "name": "accuracy",
        "type": "accuracy",
        "data_config": "validation_images",
        "sub_types": [
            {
                "name": "accuracy_score",
                "priority": 1,
                "higher_is_better": True,
                "metric_config": {"task": "multiclass", "num_classes": 10},
            }
        ],
    }
    return {
        "input_model": {"type": "OnnxModel", "model_path": str(model)},
        "data_configs": [data("calibration_images"), data("validation_images")],
        "evaluators": {"evaluator": {"type": "OnnxEvaluator", "metrics": [accuracy]}},
        "evaluator": "evaluator",
        "passes": {
            "quantize": {"type": "OnnxStaticQuantization", "data_config": "calibration_images"}
        },
        "search_strategy": {
            "execution_order": "joint",
            "sampler": "tpe",
            "max_iter": _OLIVE_TRIALS,
            "seed": 0,
        },
        "output_dir": str(folder),
        "cache_dir": str(folder.parent / "olive-cache"),
        "log_severity_level": 3,
    }


TOOLS = {"nncf": nncf_defaults, "olive": olive_search}


def main() -> None:
    """One tool on one model."""
    tool, model, images, folder = sys.argv[1:]
    with np.load(images) as arrays:
        run = TOOLS[tool](Path(model), dict(arrays), Path(folder))
        began = time.process_time()
        path = run()
    print(json.dumps({"file": str(path), "seconds": time.process_time() - began}))


if __name__ == "__main__":
    main()
