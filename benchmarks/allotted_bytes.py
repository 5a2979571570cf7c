"""At most so many bytes: what a profile allots for a bound, and the file that it becomes.

``python -m benchmarks.allotted_bytes`` profiles the published ResNet-20 on a few CIFAR-10 images.
For every bound it prints the bytes of the file that the allotment becomes, without any training, as
a share of the bound, and how far two estimates are from it: that from the entropy of the probed
integers, and that from the width of the weights alone.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmarks import cifar
from compress import export, pipeline
from compress.candidate import Candidate
from compress.measurement import Latency, Measurement, Parity
from compress.model import Network
from compress.profile import probes
from compress.profile.document import ProfileDocument
from compress.profile.probes import Wanted
from compress.task import Task
from featherweight.specs import constraints
from search.allocation.allotment import Allotment, Allotter, Choices
from search.allocation.limits import Limits

_BOUNDS = (20_000, 30_000, 45_000, 68_000, 100_000, 150_000)
_WAYS = (0.0, 0.4)
_RATIOS = (0.0, 0.125, 0.25, 0.375, 0.5)
_BITS = (2, 3, 4, 8)
_IMAGES = 64


def main() -> None:
    """A line for every bound, with and without pruning."""
    torch.set_num_threads(1)
    data = cifar.images(train_images=1_000)
    network, task = cifar.network(), Task(data=data, device=torch.device("cpu"), seed=0)
    profile = _profiled(task)
    stages = (_RATIOS,) * len(profile.stages)
    allotter = Allotter(profile=profile, choices=Choices(ratios=stages, bits=_BITS, axis="bytes"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = _bytes(network, Candidate(), task, folder)
        weights = 4 * sum(layer.weights for layer in profile.layers)
        print(f"float: {whole:,} B, {weights:,} B of them weights")
        print("   bound  pruning   share      file  of bound  by entropy  by width")
        for bound in _BOUNDS:
            share = _limit(bound, whole, profile)
            for way in _WAYS:
                found = allotter.allot(share, pruning=way, sharpness=1.0)
                size = _bytes(network, _candidate(found), task, folder)
                beside = bound * 0.96 - share * weights
                coded = found.share * weights + beside
                width = _by_width(allotter, found) * weights + beside
                print(
                    f"{bound:8,}  {way:7.1f}  {found.share:6.4f}  {size:8,}  {size / bound:8.1%}  "
                    f"{coded / size - 1:+10.1%}  {width / size - 1:+8.1%}",
                    flush=True,
                )


def _profiled(task: Task) -> ProfileDocument:
    wanted = Wanted(
        images=_IMAGES, allowed_seconds=None, weights_sha256="0" * 64, data_sha256="1" * 64
    )
    return probes.probe(cifar.network(), task, wanted, on_progress=lambda share: None)


def _limit(bound: int, whole: int, profile: ProfileDocument) -> float:
    asked = [constraints.parse(f"size_bytes <= {bound} B")]
    baseline = Measurement(
        accuracy={"validation": 1.0},
        size_bytes=whole,
        parameters=1,
        macs=1,
        latency=Latency(median_ms=1.0, p95_ms=1.0, threads=1, batch=1),
        parity=Parity(max_abs_error=0.0, agreement=1.0, images=1),
    )
    return Limits.of(asked, baseline, profile, scale_bits=16).size


def _candidate(found: Allotment) -> Candidate:
    bits = ",".join(f"{name}={width}" for name, width in found.bits.items())
    quantization: dict[str, object] = {
        "technique": "quantization",
        "weight_bits": 8,
        "layer_bits": bits,
        "edges_8bit": False,
        "activations": "float",
        "scale_bits": 16,
    }
    steps = [quantization]
    if any(found.ratios):
        steps = [{"technique": "filter_pruning", "ratios": found.ratios}, quantization]
    return Candidate.model_validate({"steps": steps})


def _bytes(network: Network, candidate: Candidate, task: Task, folder: Path) -> int:
    made = pipeline.start(network, candidate, task)
    return export.write(made, folder, data=task.data).size_bytes


def _by_width(allotter: Allotter, found: Allotment) -> float:
    """The share of the baseline's bytes of weights as if a weight took its width."""
    layers = [
        layer.model_copy(
            update={"points": tuple(p.model_copy(update={"coded": None}) for p in layer.points)}
        )
        for layer in allotter.profile.layers
    ]
    plain = allotter.profile.model_copy(update={"layers": tuple(layers)})
    return Allotter(profile=plain, choices=allotter.choices).share_of(found)


if __name__ == "__main__":
    main()
