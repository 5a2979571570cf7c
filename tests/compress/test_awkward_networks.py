"""Whatever people write as a network ends as a right file or as an error in words."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from compress import pipeline
from compress.evaluation import runtime
from compress.export import parity, views, writer
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.low_rank.config import LowRank
from compress.techniques.mirroring.config import Mirroring
from compress.techniques.quantization.config import Quantization
from compress.techniques.sparsity.config import Sparsity
from compress.techniques.training.distillation.config import Distillation
from compress.techniques.weight_sharing.config import WeightSharing
from compress.training import constraints
from compress.training.context import TrialContext
from compress.values.errors import CompressError, ExportParityError, InvalidCandidate
from tests.compress.awkward import CHANNELS, CLASSES, SIDE, ZOO
from tests.devices import DEVICE

STEPS = {
    "floats": (),
    "zeros and views": (Sparsity(sparsity=0.5, criterion="wanda"), Mirroring()),
    "4 bits": (Quantization(weight_bits=4, activations="float", allocation="sensitivity"),),
    "4 bits, equalised": (
        Quantization(weight_bits=4, activations="float", equalise=True, rounding="gptq"),
    ),
    "integers": (Quantization(),),
    "fewer channels": (FilterPruning(scope="uniform", ratio=0.4),),
    "channels by gradients": (FilterPruning(scope="global", ratio=0.3, importance="taylor"),),
    "thin layers, codebooks": (LowRank(energy=0.6), WeightSharing(index_bits=3)),
    "a teacher's features": (Distillation(weight=0.5, loss="mse", features="relational"),),
}
TAKEN = ("floats", "zeros and views", "4 bits")
"""What every network that can be written takes."""
REFUSED: dict[str, tuple[type[CompressError], str]] = {
    "embedding bag": (InvalidCandidate, "with a Loop .* write it without loops"),
    "weight norm": (InvalidCandidate, "computes the weight or the bias of other"),
    "one layer twice": (InvalidCandidate, "runs .'again'. more than once"),
    "counts images": (
        ExportParityError,
        "does not run on 16 images|shapes do not agree for any batch",
    ),
    "decides": (ExportParityError, "float file against torch|folded against"),
    "unknown operator": (InvalidCandidate, "written as ONNX: UnsupportedOperatorError"),
    "odd pool": (InvalidCandidate, "written as ONNX: .*adaptive_avg_pool2d"),
    "no statistics": (InvalidCandidate, "written as ONNX"),
    "in place": (InvalidCandidate, "cannot be trained: .* inplace"),
    "raises": (InvalidCandidate, "AttributeError: .* no attribute 'forgotten'"),
    "raises in training": (InvalidCandidate, "AttributeError: .* no attribute 'forgotten'"),
    "tuple": (InvalidCandidate, "returns a tuple where one tensor"),
    "dict": (InvalidCandidate, "returns a dict where one tensor"),
    "one axis too many": (InvalidCandidate, r"shape \(2, 5, 1\), expected"),
    "detached": (InvalidCandidate, "cannot be trained: .*require grad"),
    "double": (InvalidCandidate, "RuntimeError: .*double"),
    "no layers": (InvalidCandidate, r"shape \(2, 192\), expected"),
}


@pytest.fixture(scope="module")
def data() -> ImageData:
    generator = torch.Generator().manual_seed(0)
    shape = (48, CHANNELS, SIDE, SIDE)
    x_NCHW = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    y_N = torch.arange(48) % CLASSES
    return ImageData(
        train=Images(x_NCHW=x_NCHW[:32], y_N=y_N[:32]),
        validation=Images(x_NCHW=x_NCHW[32:], y_N=y_N[32:]),
        test=None,
        num_classes=CLASSES,
    )


def network(name: str) -> Network:
    torch.manual_seed(0)
    module = ZOO[name]().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_var is not None:
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.2, 3)
    mean, std = (0.0, 1.0) if "embedding" in name else (127.0, 64.0)
    return Network(
        module=module,
        normalisation=Normalisation(mean=(mean,) * CHANNELS, std=(std,) * CHANNELS),
        input_shape=(CHANNELS, SIDE, SIDE),
        num_classes=CLASSES,
    )


def answers_alike(name, steps, data, folder):
    """Start, recover for an epoch and write; whether the file answers like the network."""
    net = network(name)
    context = TrialContext(data=data, device=DEVICE, seed=0, teacher=net, task=IMAGE_CLASSIFICATION)
    made = pipeline.start(net, Candidate(steps=STEPS[steps]), context)
    made = pipeline.recover(made, context, epochs=1)
    artifact = writer.write(made, folder, data=data, task=IMAGE_CLASSIFICATION)
    plain, _ = constraints.bake(made.network)
    x_NCHW = data.validation.x_NCHW
    expected = parity.torch_logits(plain, x_NCHW, over=views.of(made))
    found = runtime.answers(runtime.session(artifact.path), x_NCHW)
    return steps == "integers" or np.abs(found - expected).max() < 1e-2 * np.ptp(expected)


OTHERS = [steps for steps in STEPS if steps != "floats"]
ROWS = [
    pytest.param(
        name,
        steps,
        id=f"{name}-{steps}",
        marks=() if steps in ("floats", OTHERS[number % len(OTHERS)]) else pytest.mark.proof,
    )
    for number, name in enumerate(ZOO)
    for steps in STEPS
]
"""Each network as it is and with one of the others, which go round; the rest are proofs."""


@pytest.mark.parametrize(("name", "steps"), ROWS)
def test_a_network_becomes_a_right_file_or_an_error_in_words(name, steps, data, tmp_path, capfd):
    refused = None
    try:
        alike = answers_alike(name, steps, data, tmp_path)
    except CompressError as error:
        alike, refused = True, error
    assert alike
    assert capfd.readouterr() == ("", "")
    if steps not in TAKEN:
        return
    assert (refused is not None) == (name in REFUSED), refused
    if refused is not None:
        kind, words = REFUSED[name]
        assert isinstance(refused, kind)
        assert re.search(words, str(refused)), refused
