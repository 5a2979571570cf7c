"""What other tools make of a float ONNX file, each in an environment of its own.

``python -m benchmarks.engine.resnet20_peers --others PYTHON`` runs it with the Python of an
environment that has ``nncf``, ``olive-ai``, ``requests``, ``nvidia-modelopt`` and
``torchprofile<0.1``; it imports nothing of ours but the plain network beside it. Called as
``PYTHON benchmarks/engine/other_tools.py TOOL FOLDER``. The folder holds the same network twice,
``float.onnx`` and ``float.safetensors``, and ``images.npz``: ``calibration``, ``train`` and
``validation``, raw pixels ``(N, 3, H, W)``, the first as float32, with ``train_labels`` and
``labels`` of the last. The file goes into the folder; the last line printed is a JSON object of its
path and the processor seconds, imports left out.
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
import plain_resnet  # beside this script
import torch
from torch import nn

Images = Mapping[str, Any]
_INPUT = "input"
_OLIVE_TRIALS = 8
_CHANNELS_IN = 8
"""FastNAS takes channels away in these numbers; its 32 leave nothing of this network to search."""
_OPSET = 17
_SCORED = 1_000
"""Images FastNAS scores a network by, more than fifty times."""


def nncf_defaults(images: Images, folder: Path) -> Callable[[], Path]:
    """Post-training quantization with the tool's defaults."""
    nncf, model = import_module("nncf"), folder / "float.onnx"

    def run() -> Path:
        rows = [row[None] for row in images["calibration"]]
        dataset = nncf.Dataset(rows, lambda row: {_INPUT: row})
        quantized = nncf.quantize(onnx.load(model), dataset, subset_size=len(rows))
        path = folder / "nncf.onnx"
        onnx.save(quantized, path)
        return path

    return run


def olive_search(images: Images, folder: Path) -> Callable[[], Path]:
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
        workflows.run(_olive_config(folder / "float.onnx", folder / "olive"))
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


def onnxruntime_static(images: Images, folder: Path) -> Callable[[], Path]:
    """ONNX Runtime's static quantization: int8 per channel, uint8 activations."""

    def run() -> Path:
        return _static(folder / "float.onnx", folder / "onnxruntime.onnx", images)

    return run


def onnxsim_only(images: Images, folder: Path) -> Callable[[], Path]:
    """The graph simplified, weights as they are."""
    del images
    onnxsim = import_module("onnxsim")

    def run() -> Path:
        simplified, is_same = onnxsim.simplify(onnx.load(folder / "float.onnx"))
        assert is_same
        path = folder / "onnxsim.onnx"
        onnx.save(simplified, path)
        return path

    return run


def aimet_int8(images: Images, folder: Path) -> Callable[[], Path]:
    """AIMET's 8-bit simulation with its defaults, as its export to QDQ nodes leaves it."""
    quantsim = import_module("aimet_onnx.quantsim")

    def run() -> Path:
        simulated = quantsim.QuantizationSimModel(onnx.load(folder / "float.onnx"))
        simulated.compute_encodings([{_INPUT: row[None]} for row in images["calibration"]])
        path = folder / "aimet.onnx"
        onnx.save(simulated.to_onnx_qdq(prequantize_constants=True), path)
        return path

    return run


def modelopt_int8(images: Images, folder: Path) -> Callable[[], Path]:
    """NVIDIA Model-Optimizer's default 8 bits, as its export to ONNX leaves them."""
    quantization = import_module("modelopt.torch.quantization")
    calibration = torch.from_numpy(images["calibration"])

    def run() -> Path:
        quantized = quantization.quantize(
            _network(folder),
            quantization.INT8_DEFAULT_CFG,
            lambda network: [network(batch) for batch in calibration.split(32)],
        )
        return _exported(quantized, folder / "modelopt.onnx")

    return run


def fastnas(images: Images, folder: Path) -> Callable[[], Path]:
    """Model-Optimizer's FastNAS to 70 % of the work, one epoch, then ONNX Runtime's 8 bits."""
    prune = import_module("modelopt.torch.prune")
    x_train = torch.from_numpy(images["train"]).float()
    y_train = torch.from_numpy(images["train_labels"])
    x_validation = torch.from_numpy(images["validation"][:_SCORED])
    labels = torch.from_numpy(images["labels"][:_SCORED])

    @torch.no_grad()
    def score(network: nn.Module) -> float:
        found = [network.eval()(batch).argmax(1) for batch in x_validation.split(250)]
        return float((torch.cat(found) == labels).float().mean())

    def run() -> Path:
        rules = prune.fastnas.FastNASConfig()
        rules["nn.Conv2d"]["*"]["channel_divisor"] = _CHANNELS_IN
        rules["nn.BatchNorm2d"]["*"]["feature_divisor"] = _CHANNELS_IN
        pruned, _ = prune.prune(
            _network(folder),
            mode=[("fastnas", rules)],
            constraints={"flops": "70%"},
            dummy_input=x_train[:1],
            config={
                "data_loader": list(zip(x_train.split(64), y_train.split(64), strict=True)),
                "score_func": score,
                "checkpoint": str(folder / "fastnas.search"),
            },
        )
        plain_resnet.train_epoch(pruned, x_train, y_train, seed=0)
        trained = _exported(pruned, folder / "fastnas-float.onnx")
        return _static(trained, folder / "fastnas.onnx", images)

    return run


def _static(model: Path, path: Path, images: Images) -> Path:
    """ONNX Runtime's static quantization: int8 per channel, uint8 activations, row by row."""
    quantization = import_module("onnxruntime.quantization")
    rows = iter([{_INPUT: row[None]} for row in images["calibration"]])
    reader = type(
        "Rows", (quantization.CalibrationDataReader,), {"get_next": lambda _: next(rows, None)}
    )
    quantization.quantize_static(
        str(model),
        str(path),
        reader(),
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return path


def _network(folder: Path) -> nn.Module:
    tensors = import_module("safetensors.torch").load_file(folder / "float.safetensors")
    return plain_resnet.load(tensors)


def _exported(network: nn.Module, path: Path) -> Path:
    batch = {0: "batch"}
    torch.onnx.export(
        network.eval(),
        (torch.zeros(1, 3, 32, 32),),
        str(path),
        dynamo=False,  # what the tool's own quantizers can be exported by
        opset_version=_OPSET,
        input_names=[_INPUT],
        output_names=["logits"],
        dynamic_axes={_INPUT: batch, "logits": batch},
    )
    return path


TOOLS = {
    "onnxruntime": onnxruntime_static,
    "onnxsim": onnxsim_only,
    "aimet": aimet_int8,
    "nncf": nncf_defaults,
    "olive": olive_search,
    "modelopt": modelopt_int8,
    "fastnas": fastnas,
}


def main() -> None:
    """One tool on one network."""
    torch.set_num_threads(1)
    tool, folder = sys.argv[1], Path(sys.argv[2])
    with np.load(folder / "images.npz") as arrays:
        run = TOOLS[tool](dict(arrays), folder)
    began = time.process_time()
    path = run()
    print(json.dumps({"file": str(path), "seconds": time.process_time() - began}))


if __name__ == "__main__":
    main()
