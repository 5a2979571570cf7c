"""The published CIFAR-10 ResNet-20, made smaller in every way; run with ``make bench``.

Prints, for each candidate, the three sizes of its file, its accuracy, how many answers the file
gives otherwise than the simulated network, and where the seconds went; then the latency of the
files, calls taken in turns. Nothing is trained.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.data import cifar
from benchmarks.record import Cell, Table, keeps
from compress import pipeline
from compress.evaluation import measure, runtime
from compress.export import views, writer
from compress.network.network import Artifact
from compress.network.signature import INPUT, OUTPUT
from compress.tasks.images import ImageData
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.compressed import CompressedModel
from compress.techniques.quantization.config import Quantization
from compress.training import constraints, inference
from compress.training.context import TrialContext
from compress.values.measurement import Measurement

Steps = list[dict[str, object]]
_THREADS = 2

W8: Steps = [{"technique": "quantization"}]
UNTRAINED: Mapping[str, Steps] = {
    "baseline": [],
    "8 bits": W8,
    "8 bits, reduced range": [{"technique": "quantization", "reduced_range": True}],
    "4 bits": [{"technique": "quantization", "weight_bits": 4}],
    "4 bits, weights only": [
        {"technique": "quantization", "weight_bits": 4, "activations": "float"}
    ],
    "4 bits, GPTQ": [{"technique": "quantization", "weight_bits": 4, "rounding": "gptq"}],
    "3.5 bits by sensitivity": [
        {
            "technique": "quantization",
            "weight_bits": 3,
            "extra_bits": 0.5,
            "allocation": "sensitivity",
            "rounding": "gptq",
        }
    ],
    "4 bits, mirrored": [
        {"technique": "quantization", "weight_bits": 4},
        {"technique": "mirroring"},
    ],
    "codebooks of 4 bits": [{"technique": "weight_sharing", "index_bits": 4}],
    "codebooks of 3 bits + 8-bit activations": [
        {"technique": "weight_sharing", "index_bits": 3},
        *W8,
    ],
    "50 % zeros": [{"technique": "sparsity", "sparsity": 0.5}],
    "50 % zeros + 4 bits": [
        {"technique": "sparsity", "sparsity": 0.5},
        {"technique": "quantization", "weight_bits": 4},
    ],
    "low rank": [{"technique": "low_rank", "energy": 0.9}],
    "20 % of channels + 8 bits": [
        {"technique": "filter_pruning", "ratios": [0.2, 0.2, 0.2]},
        *W8,
    ],
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One candidate, done."""

    name: str
    compressed: CompressedModel
    artifact: Artifact
    measurement: Measurement
    flips: int
    seconds: Mapping[str, float]


@keeps(
    "engine/resnet20",
    "What is a published CIFAR-10 ResNet-20 worth in every form, untrained (5,000 test images)?",
    seeds=(0,),
    headline=("baseline", "8 bits", "4 bits", "4 bits, mirrored"),
)
def main(table: Table) -> None:
    """Every candidate untrained, then the latency of their files in turns."""
    torch.set_num_threads(_THREADS)
    context = TrialContext(
        data=cifar.images(train_images=10_000),
        device=torch.device("cpu"),
        seed=0,
        task=IMAGE_CLASSIFICATION,
    )
    with tempfile.TemporaryDirectory() as name:
        rows = [
            untrained(label, steps, context, Path(name) / str(index))
            for index, (label, steps) in enumerate(UNTRAINED.items())
        ]
        ratios = compare_latency({row.name: row.artifact.path for row in rows}, context.data)
    for row in rows:
        table.add(_cells(row) | {"latency, 1 / 32 images": " / ".join(ratios[row.name])})


def _cells(row: Row) -> dict[str, Cell]:
    measured = row.measurement
    return {
        "candidate": row.name,
        "accuracy": f"{measured.accuracy['validation']:.2%}",
        "bytes": measured.size_bytes,
        "zstd 19": measured.download_bytes,
        "memory, MB": round((measured.peak_memory_bytes or 0) / 1e6),
        "flips": row.flips,
    }


def untrained(name: str, steps: Steps, context: TrialContext, folder: Path) -> Row:
    """One candidate at rung 0: compressed, exported, measured; printed as it is done."""
    folder.mkdir()
    network = cifar.network()
    began = time.perf_counter()
    compressed = pipeline.start(network, Candidate.model_validate({"steps": steps}), context)
    at_export = time.perf_counter()
    artifact = writer.write(compressed, folder, data=context.data, task=IMAGE_CLASSIFICATION)
    at_measure = time.perf_counter()
    measurement = measure.run(
        artifact, context.data, splits=("validation",), task=IMAGE_CLASSIFICATION
    )
    ended = time.perf_counter()
    row = Row(
        name=name,
        compressed=compressed,
        artifact=artifact,
        measurement=measurement,
        flips=flips(compressed, artifact.path, context.data),
        seconds={
            "compress": at_export - began,
            "export": at_measure - at_export,
            "measure": ended - at_measure,
        },
    )
    show(row)
    return row


def flips(compressed: CompressedModel, path: Path, data: ImageData) -> int:
    """Validation images whose class differs between the simulation and the file.

    The simulation of float activations is the torch network itself; that of 8-bit activations is
    the file's graph run node by node in float, without fused integer kernels.
    """
    images = data.validation.x_NCHW
    from_file = runtime.answers(runtime.session(path, threads=2), images).argmax(axis=1)
    quantization = compressed.step(Quantization)
    if quantization is not None and quantization.activations == "int8":
        written = runtime.session(path, threads=2, optimise=False)
        simulated = runtime.answers(written, images).argmax(axis=1)
    else:
        network, _ = constraints.bake(compressed.network)
        answer = partial(inference.logits, network, device=torch.device("cpu"))
        simulated = views.mean(answer, images, views.of(compressed)).argmax(1).numpy()
    return int((from_file != simulated).sum())


def show(row: Row) -> None:
    """One line of the table."""
    measured = row.measurement
    seconds = ", ".join(f"{stage} {spent:.1f}" for stage, spent in row.seconds.items())
    print(
        f"{row.name:42} {measured.accuracy['validation']:7.2%} {measured.size_bytes:9,} B "
        f"zstd {measured.download_bytes or 0:9,} B  memory {measured.peak_memory_bytes or 0:11,} B "
        f"{measured.latency.median_ms:.3f} ms  flips {row.flips:3}  s: {seconds}",
        flush=True,
    )


def compare_latency(files: Mapping[str, Path], data: ImageData) -> dict[str, list[str]]:
    """Latency of every file over the first one's, calls taken in turns, one thread.

    Returns the ratios for one image and for 32.
    """
    ratios: dict[str, list[str]] = {name: [] for name in files}
    opened = {name: runtime.session(path) for name, path in files.items()}
    for batch in (1, 32):
        feed = {INPUT: runtime.raw(data.validation.x_NCHW[:batch])}
        calls: dict[str, list[float]] = {name: [] for name in opened}
        for _ in range(200 // (1 if batch == 1 else 8)):
            for name, session in opened.items():
                began = time.perf_counter_ns()
                session.run([OUTPUT], feed)
                calls[name].append((time.perf_counter_ns() - began) / 1e6)
        medians = {name: float(np.median(times)) for name, times in calls.items()}
        first = next(iter(medians.values()))
        print(f"batch {batch}, one thread, baseline {first:.2f} ms:")
        for name, median in medians.items():
            print(f"  {name:42} {median / first:.2f}")
            ratios[name].append(f"{median / first:.2f}")
    return ratios


if __name__ == "__main__":
    main()
