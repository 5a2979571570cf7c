"""Uploaded networks on their whole way: each technique, a file, and its answers.

Every file has the ports, axes and metadata of the upload, and answers as the compressed network.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from compress import pipeline
from compress.evaluation import measure, runtime
from compress.export import parity, views, writer
from compress.network.sources.onnx import load
from compress.tasks import registry
from compress.tasks.images import ImageData, Images
from compress.techniques.candidate import Candidate
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.low_rank.config import LowRank
from compress.techniques.mirroring.config import Mirroring
from compress.techniques.quantization.config import Quantization
from compress.techniques.sparsity.config import Sparsity
from compress.techniques.training.distillation.config import Distillation
from compress.techniques.weight_sharing.config import WeightSharing
from compress.training import constraints, loop
from compress.training.context import TrialContext
from compress.training.loop import TrainingPlan
from compress.training.reinsertion import reinserted
from tests.compress import uploads
from tests.compress.uploads import network_of, pictures, tensorflow_like, uploaded
from tests.devices import DEVICE
from tests.running import ROOT

TASK = registry.TASKS["image_classification"]
RESNET8 = ROOT.parent / "shared/data/onnx/cifar10_mlperf_tiny_resnet8.onnx"
UPLOADS = {
    "a small CNN": (uploaded, "cnn"),
    "a residual network like TensorFlow's": (tensorflow_like, "residual"),
}
STEPS = {
    "as it is": (),
    "fewer channels": (FilterPruning(scope="uniform", ratio=0.4),),
    "thinner layers": (LowRank(energy=0.7),),
    "zeros": (Sparsity(sparsity=0.6),),
    "codebooks": (WeightSharing(index_bits=3),),
    "integer kernels": (Quantization(),),
    "thinner layers in integers": (LowRank(energy=0.7), Quantization()),
    "4 bits, equalised": (Quantization(weight_bits=4, activations="float", equalise=True),),
    "16 bits": (Quantization(weight_bits=16, activations="float"),),
    "a teacher": (Distillation(weight=0.5),),
    "a teacher's features": (Distillation(weight=0.3, loss="mse", features="relational"),),
    "two views": (Mirroring(),),
    "all together": (
        FilterPruning(scope="global", ratio=0.3),
        Distillation(weight=0.5),
        Sparsity(sparsity=0.3),
        Quantization(),
        Mirroring(),
    ),
}


@pytest.fixture(scope="module")
def data() -> ImageData:
    return pictures()


@pytest.fixture(scope="module", params=UPLOADS)
def trained(request, data):
    """An upload with folded norms that has learned its classes, and its file's own bytes."""
    make, name = UPLOADS[request.param]
    upload = make(name, folded=True)
    network = reinserted(network_of(upload), data.train, device=DEVICE)
    plan = TrainingPlan(epochs=16, seed=0, batch_size=32, learning_rate=0.1, precision="fp32")
    return upload, loop.fit(network, data.train, plan, task=TASK, device=DEVICE)[0]


def context_of(network, data):
    return TrialContext(task=TASK, data=data, device=DEVICE, seed=0, teacher=network)


def assert_same_ports(ours, theirs):
    for one, other in zip(
        (*ours.graph.input, *ours.graph.output),
        (*theirs.graph.input, *theirs.graph.output),
        strict=True,
    ):
        assert one == other
    assert list(ours.metadata_props) == list(theirs.metadata_props)


@pytest.mark.parametrize("steps", STEPS)
def test_a_delivered_file_takes_what_the_upload_took_and_answers_right(
    trained, data, steps, tmp_path
):
    upload, network = trained
    context = context_of(network, data)
    started = pipeline.start(network, Candidate(steps=STEPS[steps]), context)
    recovered = pipeline.recover(started, context, epochs=1)
    artifact = writer.write(recovered, tmp_path, data=data, task=TASK)
    assert_same_ports(onnx.load(artifact.path), onnx.load_from_string(upload))
    baked, _ = constraints.bake(recovered.network)
    x_NCHW = data.validation.x_NCHW
    plain = replace(baked, module=baked.module.cpu().eval())
    expected_NK = parity.torch_logits(plain, x_NCHW, over=views.of(recovered))
    found_NK = runtime.answers(runtime.session(artifact.path), x_NCHW, signature=artifact.signature)
    in_integers = any(
        isinstance(each, Quantization) and each.activations == "int8" for each in STEPS[steps]
    )
    if in_integers:
        assert (found_NK.argmax(1) == expected_NK.argmax(1)).mean() > 0.8
    else:
        np.testing.assert_allclose(found_NK, expected_NK, atol=2e-3 * np.ptp(expected_NK))


def test_a_file_answers_probabilities_to_images_with_channels_last(data, tmp_path):
    upload = tensorflow_like()
    network = network_of(upload)
    compressed = pipeline.start(network, Candidate(steps=()), context_of(network, data))
    artifact = writer.write(compressed, tmp_path, data=data, task=TASK)
    x_NHWC = data.validation.x_NCHW.permute(0, 2, 3, 1).contiguous().numpy()
    answers = [
        onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"]).run(
            [uploads.OUTPUT], {uploads.INPUT: x_NHWC}
        )[0]
        for source in (upload, artifact.path.read_bytes())
    ]
    np.testing.assert_allclose(answers[0].sum(1), 1.0, atol=1e-5)
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-5)


def test_a_file_is_measured_through_its_own_ports(trained, data, tmp_path):
    _, network = trained
    context = context_of(network, data)
    compressed = pipeline.start(network, Candidate(steps=(Quantization(),)), context)
    artifact = writer.write(compressed, tmp_path, data=data, task=TASK)
    measured = measure.run(artifact, data, task=TASK, splits=("validation",))
    assert measured.accuracy["validation"] > 0.8
    assert measured.latency.median_ms > 0
    on_split = measure.on_split(
        artifact.path, data, "validation", task=TASK, signature=artifact.signature
    )
    assert on_split.accuracy == measured.accuracy["validation"]


def test_two_writings_of_an_upload_are_the_same_bytes(trained, data, tmp_path):
    _, network = trained
    compressed = pipeline.start(network, Candidate(steps=()), context_of(network, data))
    one, two = (
        writer.write(compressed, tmp_path, data=data, task=TASK, name=name) for name in "ab"
    )
    assert one.sha256 == two.sha256


@pytest.mark.parametrize("name", ["depthwise", "shuffle"])
def test_channels_leave_networks_with_gates_groups_and_splits(name, data, tmp_path):
    network = network_of(uploaded(name, folded=True))
    steps = (FilterPruning(scope="uniform", ratio=0.5),)
    pruned = pipeline.start(network, Candidate(steps=steps), context_of(network, data))
    whole, fewer = (
        sum(parameter.numel() for parameter in each.module.parameters())
        for each in (network, pruned.network)
    )
    assert fewer < whole
    artifact = writer.write(pruned, tmp_path, data=data, task=TASK)
    assert artifact.parameters < whole


@pytest.mark.proof
@pytest.mark.skipif(not RESNET8.exists(), reason="needs MLPerf Tiny's published ResNet-8")
@pytest.mark.parametrize("steps", STEPS)
def test_the_published_resnet8_goes_the_whole_way(steps, tmp_path):
    generator = torch.Generator().manual_seed(0)
    x_NCHW = torch.randint(0, 256, (384, 3, 32, 32), generator=generator, dtype=torch.uint8)
    published = load(RESNET8, input_shape=(3, 32, 32), num_classes=10)
    with torch.no_grad():
        y_N = published.module(x_NCHW.float()).argmax(1)
    data = ImageData(
        train=Images(x_NCHW=x_NCHW[:256], y_N=y_N[:256]),
        validation=Images(x_NCHW=x_NCHW[256:], y_N=y_N[256:]),
        test=None,
        num_classes=10,
    )
    network = reinserted(published, data.train, device=DEVICE)
    context = context_of(network, data)
    started = pipeline.start(network, Candidate(steps=STEPS[steps]), context)
    recovered = pipeline.recover(started, context, epochs=1)
    artifact = writer.write(recovered, tmp_path, data=data, task=TASK)
    assert_same_ports(onnx.load(artifact.path), onnx.load(RESNET8))
