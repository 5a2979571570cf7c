"""At most so many bytes: what a profile allots for a bound, and the file that it becomes.

``python -m benchmarks.search.allotted_bytes`` profiles the published ResNet-20 on a few CIFAR-10
images. For every bound it prints the bytes of the file that the allotment becomes, without any
training, as a share of the bound, and how far two estimates are from it: that from the entropy of
the probed integers, and that from the width of the weights alone.
"""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

import torch

from benchmarks.data import cifar
from benchmarks.record import Table, keeps
from benchmarks.search.curves import Candidate as Curve
from compress import pipeline
from compress.export import writer
from compress.network.network import Network
from compress.sensitivity import probes
from compress.sensitivity.document import ProfileDocument
from compress.sensitivity.probes import ProbeRequest
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.training.context import TrialContext
from featherweight.specs import constraints
from search.allocation.allotment import Allotment, Allotter, Choices
from search.allocation.limits import SURE, Limits

_BOUNDS = (20_000, 30_000, 45_000, 68_000, 100_000, 150_000)
_WAYS = (0.0, 0.4)
_RATIOS = (0.0, 0.125, 0.25, 0.375, 0.5)
_BITS = (2, 3, 4, 8)
_IMAGES = 64


@keeps(
    "search/allotted_bytes",
    "Does an allotment of bits and ratios keep a bound of bytes?",
    seeds=(0,),
    headline=("20,000 B, 0.0", "150,000 B, 0.4"),
)
def main(table: Table) -> None:
    """A line for every bound, with and without pruning."""
    torch.set_num_threads(1)
    data = cifar.images(train_images=1_000)
    network, context = (
        cifar.network(),
        TrialContext(data=data, device=torch.device("cpu"), seed=0, task=IMAGE_CLASSIFICATION),
    )
    profile = _profiled(context)
    stages = (_RATIOS,) * len(profile.stages)
    allotter = Allotter(profile=profile, choices=Choices(ratios=stages, bits=_BITS, axis="bytes"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = _bytes(network, Candidate(), context, folder)
        weights = 4 * sum(layer.weights for layer in profile.layers)
        print(f"float: {whole:,} B, {weights:,} B of them weights")
        print("   bound  pruning   share      file  of bound  by entropy  by width")
        for bound, way in product(_BOUNDS, _WAYS):
            share = _limit(bound, whole, profile)
            found = allotter.allot(share, pruning=way, sharpness=1.0)
            size = _bytes(network, _candidate(found), context, folder)
            beside = SURE * bound - share * weights
            coded, width = found.share * weights + beside, _by_width(allotter, found) + beside
            print(
                f"{bound:8,}  {way:7.1f}  {found.share:6.4f}  {size:8,}  {size / bound:8.1%}  "
                f"{coded / size - 1:+10.1%}  {width / size - 1:+8.1%}",
                flush=True,
            )
            table.add(
                {
                    "bound, pruning": f"{bound:,} B, {way}",
                    "file": size,
                    "of the bound": f"{size / bound:.1%}",
                    "by the entropy of the probed integers": f"{coded / size - 1:+.1%}",
                    "by the width of the weights": f"{width / size - 1:+.1%}",
                }
            )


def _profiled(context: TrialContext) -> ProfileDocument:
    wanted = ProbeRequest(
        images=_IMAGES, allowed_seconds=None, weights_sha256="0" * 64, data_sha256="1" * 64
    )
    return probes.probe(cifar.network(), context, wanted, on_progress=lambda share: None)


def _limit(bound: int, whole: int, profile: ProfileDocument) -> float:
    asked = [constraints.parse(f"size_bytes <= {bound} B")]
    baseline = Curve(size_bytes={0: whole}, accuracy={0: 1.0}).at(0)
    return Limits.of(asked, baseline, profile, scale_bits=16, counted=ONNXRUNTIME.counted).size


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


def _bytes(network: Network, candidate: Candidate, context: TrialContext, folder: Path) -> int:
    made = pipeline.start(network, candidate, context)
    return writer.write(made, folder, data=context.data, task=IMAGE_CLASSIFICATION).size_bytes


def _by_width(allotter: Allotter, found: Allotment) -> float:
    """Bytes of the weights as if each took its width."""
    pairs = zip(found.bits.values(), allotter.left_by_layer(found.ratios), strict=True)
    return sum(bits * weights for bits, weights in pairs) / 8


if __name__ == "__main__":
    main()
