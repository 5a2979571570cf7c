"""Seeds, spread and peers on the published CIFAR-10 ResNet-20; ``make bench`` runs it.

For each seed the same 256 random training images calibrate our candidates and ONNX Runtime's own
``quantize_static`` on the same float file; accuracy is that of the written file on the same 5,000
images, through the same code, and beside it on all 10,000 of the test sheet, which is what others
report. Then candidates trained for one short epoch, and the latency of pruned and quantized
files, calls taken in turns. Seconds are of the processor; those of a search, ours or another's,
hold the looks at validation that it chooses by.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
import torch_pruning
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from torch import Tensor, nn

from benchmarks.data import cifar
from benchmarks.engine import resnet20
from benchmarks.record import Cell, Table, keeps
from compress import delivery, pipeline
from compress.evaluation import measure, runtime
from compress.export import writer
from compress.network.network import Network
from compress.network.signature import INPUT
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.targets.target import Target
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.training.context import TrialContext
from compress.values.schedule import Schedule

Steps = list[dict[str, object]]
CPU = torch.device("cpu")
SEEDS = (0, 1, 2)
_CALIBRATION_IMAGES = 256
_TRAINING_IMAGES = 10_000
_BATCH = 32


def _quantized(**fields: object) -> Steps:
    return [{"technique": "quantization", **fields}]


_MIRRORED: Steps = [{"technique": "mirroring"}]
OURS: Mapping[str, Steps] = {
    "8 bits": _quantized(),
    "8 bits, free scales": _quantized(short_scales=False),
    "6 bits": _quantized(weight_bits=6),
    "6 bits, weights only": _quantized(weight_bits=6, activations="float", scale_bits=16),
    "4 bits": _quantized(weight_bits=4),
    "4 bits, free scales": _quantized(weight_bits=4, short_scales=False),
    "4 bits, mirrored": _quantized(weight_bits=4) + _MIRRORED,
    "3 bits, GPTQ": _quantized(weight_bits=3, rounding="gptq"),
    "2 bits, GPTQ": _quantized(weight_bits=2, rounding="gptq"),
}
_UINT8 = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
PEERS: Mapping[str, Mapping[str, object]] = {
    "onnxruntime, its defaults": {},
    "onnxruntime, per channel, uint8": {"per_channel": True, **_UINT8},
    "onnxruntime, the same, percentile": {
        "per_channel": True,
        "calibrate_method": CalibrationMethod.Percentile,
        **_UINT8,
    },
    "onnxruntime, the same, 4-bit weights": {
        "per_channel": True,
        "activation_type": QuantType.QUInt8,
        "weight_type": QuantType.QInt4,
    },
}
OTHERS: Mapping[str, str] = {
    "nncf": "nncf, its defaults",
    "olive": "Olive, eight trials of its joint search",
    "modelopt": "Model-Optimizer, 8 bits, its export",
    "fastnas": "FastNAS 70 %, one epoch, onnxruntime",
}
SEARCHED: Mapping[str, Sequence[Steps]] = {
    "the best of eight of ours": [
        _quantized(weight_bits=bits, rounding=rounding, activations=activations, scale_bits=16)
        for bits in (6, 7)
        for rounding in ("nearest", "gptq")
        for activations in ("int8", "float")
    ],
    "the best of eight of ours, some mirrored": [
        _quantized(weight_bits=bits, activations=activations, scale_bits=16) + views
        for bits in (4, 6)
        for activations in ("int8", "float")
        for views in ([], _MIRRORED)
    ],
}
"""As many as the trials of Olive's search; like there, the best on validation is taken."""
_ONCE = frozenset({"fastnas"})
"""Tools that take minutes: with the first seed only."""
TRAINED: Steps = [
    {"technique": "distillation"},
    *_quantized(weight_bits=2, rounding="gptq", activations="float", scale_bits=16),
]
HALVED: Steps = [
    {"technique": "filter_pruning", "scope": "uniform", "target": "macs", "ratio": 0.5},
    {"technique": "distillation"},
    *_quantized(),
]
LATENCY: Mapping[str, Steps] = {
    "baseline": [],
    "8 bits": _quantized(),
    "8 bits, mirrored": _quantized() + _MIRRORED,
    "30 % of channels, in eights": [
        {"technique": "filter_pruning", "ratios": [0.3] * 3, "round_to": 8}
    ],
    "30 % of channels": [{"technique": "filter_pruning", "ratios": [0.3] * 3, "round_to": 1}],
    "30 % of channels, in eights, 8 bits": [
        {"technique": "filter_pruning", "ratios": [0.3] * 3, "round_to": 8},
        *_quantized(),
    ],
    "30 % of channels, 8 bits": [
        {"technique": "filter_pruning", "ratios": [0.3] * 3, "round_to": 1},
        *_quantized(),
    ],
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One file of one seed; accuracy is 0 to 1: on validation, and on the whole test sheet."""

    size_bytes: int
    accuracy: float
    on_all: float
    seconds: float


@keeps(
    "engine/resnet20_peers",
    f"How do its files compare with those of other tools ({len(SEEDS)} seeds)?",
    seeds=SEEDS,
    headline=(
        "4 bits, mirrored",
        "the best of eight of ours",
        "onnxruntime, the same, percentile",
        OTHERS["olive"],
    ),
)
def main(table: Table, others: str | None = None) -> None:
    """The three tables; ``others`` is the Python of an environment with the other tools."""
    torch.set_num_threads(1)
    data = cifar.images(train_images=_TRAINING_IMAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        untrained(table, data, folder, others)
        trained(table, data, folder)
        latency(data, folder)


def untrained(table: Table, data: ImageData, folder: Path, others: str | None) -> None:
    """Our candidates and the peers, calibrated on the same images of each seed."""
    exported = pipeline.start(cifar.network(), candidate_of([]), context_of(data, seed=0))
    baseline = writer.write(
        exported, folder, data=data, name="baseline", task=IMAGE_CLASSIFICATION
    ).path
    accuracy = measure.accuracy_of_file(baseline, data.validation, task=IMAGE_CLASSIFICATION)
    print(f"baseline {accuracy:.2%}", flush=True)
    found: dict[str, list[Outcome]] = {}
    for seed in SEEDS:
        seen = sampled(data, seed)
        for name, steps in OURS.items():
            found.setdefault(name, []).append(ours(steps, context_of(seen, seed=seed), folder))
        for name, eight in SEARCHED.items():
            best = searched(eight, context_of(seen, seed=seed), folder)
            found.setdefault(name, []).append(best)
        for name, options in PEERS.items():
            found.setdefault(name, []).append(theirs(options, baseline, seen, folder))
        for name, outcome in others_of(others, data, seen, seed, folder):
            found.setdefault(name, []).append(outcome)
    for name, outcomes in found.items():
        table.add(show(name, outcomes))


def trained(table: Table, data: ImageData, folder: Path) -> None:
    """One epoch of 10,000 images: two bits, and half of the multiply-accumulates in 8 bits.

    The latter also by torch-pruning's own pruner, in the same recovery without a teacher, and then
    quantized by ONNX Runtime.
    """
    found: dict[str, list[Outcome]] = {}
    for seed in SEEDS:
        context = replace(context_of(data, seed=seed), teacher=cifar.network())
        for name, steps in {"2 bits, GPTQ": TRAINED, "half of the work, 8 bits": HALVED}.items():
            began = time.process_time()
            path = _recovered(cifar.network(), steps, context, folder)
            outcome = _outcome(path, data, seconds=time.process_time() - began)
            found.setdefault(f"{name}, one epoch", []).append(outcome)
        found.setdefault("torch-pruning, onnxruntime, one epoch", []).append(
            _pruned_by_another(context, folder)
        )
    for name, outcomes in found.items():
        table.add(show(name, outcomes))


def latency(data: ImageData, folder: Path) -> None:
    """Int8 and pruned channels over the baseline, calls taken in turns."""
    files: dict[str, Path] = {}
    for index, (name, steps) in enumerate(LATENCY.items()):
        compressed = pipeline.start(cifar.network(), candidate_of(steps), context_of(data, seed=0))
        written = writer.write(
            compressed, folder, data=data, name=f"latency{index}", task=IMAGE_CLASSIFICATION
        )
        files[name] = written.path
        print(f"{name:38} {written.size_bytes:9,} B  {written.macs:12,} multiply-accumulates")
    resnet20.compare_latency(files, data)


def show(name: str, outcomes: list[Outcome]) -> dict[str, Cell]:
    """Mean and deviation over the seeds."""
    accuracy = np.array([outcome.accuracy for outcome in outcomes])
    on_all = np.array([outcome.on_all for outcome in outcomes])
    sizes = np.array([outcome.size_bytes for outcome in outcomes])
    seconds = np.mean([outcome.seconds for outcome in outcomes])
    print(
        f"{name:38} {sizes.mean():9,.0f} +- {_spread(sizes):5,.0f} B  {accuracy.mean():.2%} +- "
        f"{_spread(accuracy):.2%}  ({', '.join(f'{a:.2%}' for a in accuracy)})  all 10,000: "
        f"{on_all.mean():.2%} +- {_spread(on_all):.2%}  {seconds:.1f} s",
        flush=True,
    )
    return {
        "tool": name,
        "bytes": f"{sizes.mean():,.0f} ± {_spread(sizes):,.0f}",
        "accuracy": f"{accuracy.mean():.2%} ± {_spread(accuracy):.2%}",
        "all 10,000": f"{on_all.mean():.2%} ± {_spread(on_all):.2%}",
        "s": round(float(seconds), 1),
    }


def _spread(values: NDArray[np.generic]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def ours(
    steps: Steps, context: TrialContext, folder: Path, *, target: Target = ONNXRUNTIME
) -> Outcome:
    """Compress the published network and write its file for the target."""
    began = time.process_time()
    path = _written(steps, context, folder, target=target)
    return _outcome(path, context.data, seconds=time.process_time() - began)


def _written(
    steps: Steps, context: TrialContext, folder: Path, *, target: Target = ONNXRUNTIME
) -> Path:
    compressed = pipeline.start(cifar.network(), candidate_of(steps), context)
    return delivery.write(
        compressed,
        folder,
        target=target,
        data=context.data,
        name="ours",
        task=IMAGE_CLASSIFICATION,
    ).path


def searched(
    candidates: Sequence[Steps],
    context: TrialContext,
    folder: Path,
    *,
    target: Target = ONNXRUNTIME,
) -> Outcome:
    """Return the best on validation, for the seconds of all of them and of looking at them."""
    began = time.process_time()
    found = [
        measure.accuracy_of_file(
            _written(steps, context, folder, target=target),
            context.data.validation,
            task=IMAGE_CLASSIFICATION,
        )
        for steps in candidates
    ]
    seconds = time.process_time() - began
    best = candidates[int(np.argmax(found))]
    path = _written(best, context, folder, target=target)
    return _outcome(path, context.data, seconds=seconds)


def _recovered(network: Network, steps: Steps, context: TrialContext, folder: Path) -> Path:
    start = pipeline.start(network, candidate_of(steps), context)
    recovered = pipeline.recover(start, context, epochs=1, schedule=Schedule(precision="bf16"))
    return writer.write(
        recovered, folder, data=context.data, name="trained", task=IMAGE_CLASSIFICATION
    ).path


def _pruned_by_another(context: TrialContext, folder: Path) -> Outcome:
    """torch-pruning's group magnitudes a hundredth at a time until the work is halved."""
    began = time.process_time()
    network = cifar.network()
    pruned = copy.deepcopy(network.module).eval()
    example = torch.zeros(1, *network.input_shape)
    pruner = torch_pruning.pruner.BasePruner(
        pruned,
        example,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=1.0,
        iterative_steps=100,
        ignored_layers=[part for part in pruned.modules() if isinstance(part, nn.Linear)],
    )
    half = torch_pruning.utils.count_ops_and_params(pruned, example)[0] / 2
    while torch_pruning.utils.count_ops_and_params(pruned, example)[0] > half:
        pruner.step()
    path = _recovered(replace(network, module=pruned), [], replace(context, teacher=None), folder)
    seconds = time.process_time() - began
    calibration = sampled(context.data, context.seed)
    options = PEERS["onnxruntime, per channel, uint8"]
    outcome = theirs(options, path, calibration, folder)
    return replace(outcome, seconds=outcome.seconds + seconds)


def theirs(options: Mapping[str, object], baseline: Path, data: ImageData, folder: Path) -> Outcome:
    """Quantize the float file with ONNX Runtime, calibrated on the training images of ``data``."""
    path = folder / "theirs.onnx"
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_static(
            str(baseline),
            str(path),
            _Reader(data.train.x_NCHW),
            quant_format=QuantFormat.QDQ,
            **options,  # pyright: ignore[reportArgumentType] (options of several types)
        )
    return _outcome(path, data, seconds=time.process_time() - began)


def others_of(
    python: str | None,
    data: ImageData,
    seen: ImageData,
    seed: int,
    within: Path,
    *,
    tools: Mapping[str, str] = OTHERS,
) -> Iterator[tuple[str, Outcome]]:
    """Other tools on the plain float network: as a graph with its weights encoded, and as torch."""
    if python is None:
        return
    folder = within / f"others-{seed}"
    folder.mkdir()
    onnx.save(writer.float_graph(cifar.network()), folder / "float.onnx")
    shutil.copy(cifar.CHECKPOINT, folder / "float.safetensors")
    np.savez(
        folder / "images.npz",
        calibration=runtime.raw(seen.train.x_NCHW),
        train=data.train.x_NCHW.numpy(),
        train_labels=data.train.y_N.numpy(),
        validation=runtime.raw(data.validation.x_NCHW),
        labels=data.validation.y_N.numpy(),
    )
    script, one_thread = Path(__file__).with_name("other_tools.py"), {"OMP_NUM_THREADS": "1"}
    for tool, name in tools.items():
        if tool in _ONCE and seed != SEEDS[0]:
            continue
        done = subprocess.run(
            (python, str(script), tool, str(folder)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=os.environ | one_thread,
        )
        said = json.loads(done.stdout.splitlines()[-1])
        yield name, _outcome(Path(said["file"]), data, seconds=said["seconds"])


def _outcome(path: Path, data: ImageData, *, seconds: float) -> Outcome:
    onnx.checker.check_model(str(path))
    assert data.test is not None
    accuracy, other = (
        measure.accuracy_of_file(path, s, task=IMAGE_CLASSIFICATION)
        for s in (data.validation, data.test)
    )
    return Outcome(
        size_bytes=path.stat().st_size,
        accuracy=accuracy,
        on_all=(accuracy + other) / 2,
        seconds=seconds,
    )


class _Reader(CalibrationDataReader):
    """Raw images in batches, as onnxruntime asks for them."""

    def __init__(self, x_NCHW: Tensor) -> None:
        self._batches: Iterator[Tensor] = iter(x_NCHW.split(_BATCH))

    def get_next(self) -> dict[str, NDArray[np.float32]]:
        """The next batch, nothing at the end."""
        batch = next(self._batches, None)
        return {} if batch is None else {INPUT: runtime.raw(batch)}


def sampled(data: ImageData, seed: int) -> ImageData:
    """Return the data with the seed's 256 training images."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(data.train), generator=generator)[:_CALIBRATION_IMAGES]
    return replace(data, train=Images(x_NCHW=data.train.x_NCHW[rows], y_N=data.train.y_N[rows]))


def context_of(data: ImageData, *, seed: int) -> TrialContext:
    """Return what a candidate is made with."""
    return TrialContext(data=data, device=CPU, seed=seed, task=IMAGE_CLASSIFICATION)


def candidate_of(steps: Steps) -> Candidate:
    """Return the candidate of these steps."""
    return Candidate.model_validate({"steps": steps})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.engine.resnet20_peers", description=__doc__)
    parser.add_argument(
        "--others", help="Python of an environment with the tools of other_tools.py"
    )
    main(parser.parse_args().others)
