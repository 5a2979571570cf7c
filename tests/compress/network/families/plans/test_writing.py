"""Networks of families are written from the graph of their plan, whatever became of them."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from compress import pipeline
from compress.evaluation import runtime
from compress.export import onnx_shapes, writer
from compress.network import folding
from compress.network.graph.view.program import GraphedModule
from compress.network.signature import Signature
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.low_rank.config import LowRank
from compress.training.context import TrialContext
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES
from tests.devices import DEVICE

COVER = frozenset({"residual, padded", "mobilenet_v3", "shufflenet_v2", "nasbench201, one cell"})
ROWS = [pytest.param(name, marks=() if name in COVER else pytest.mark.proof) for name in SAMPLES]
STEPS = {
    "whole": (),
    "fewer channels": (FilterPruning(scope="uniform", ratio=0.4),),
    "thin layers": (LowRank(energy=0.7, weighting="none"),),
    "both": (
        FilterPruning(scope="global", ratio=0.3, target="macs"),
        LowRank(energy=0.7, weighting="none"),
    ),
}


@pytest.fixture(autouse=True)
def _without_torch_exporter(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("torch's exporter was called")

    monkeypatch.setattr(torch.onnx, "export", refuse)


def context():
    part = Images(x_NCHW=tiny.images(8), y_N=torch.arange(8) % tiny.NUM_CLASSES)
    data = ImageData(train=part, validation=part, test=None, num_classes=tiny.NUM_CLASSES)
    return TrialContext(data=data, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", ROWS)
def test_a_candidate_is_written_as_it_answers(name, steps):
    made = pipeline.start(
        tiny.network(SAMPLES[name]), Candidate(steps=STEPS[steps]), context()
    ).network
    theirs = tiny.answers(made).numpy()
    for network in (made, folding.fold(made, {})[0]):
        session = runtime.session(writer.float_graph(network).SerializeToString())
        ours = runtime.answers(session, tiny.images())
        assert np.abs(ours - theirs).max() <= 1e-4 * np.ptp(theirs)


@pytest.mark.parametrize("name", ROWS)
def test_layers_of_the_program_are_modules_of_the_network(name):
    network = tiny.network(SAMPLES[name])
    assert isinstance(network.module, GraphedModule)
    program = network.module.program_for(network.signature)
    assert [call.node for call in program.calls] == list(program.graph.nodes)
    layers = [call.layer for call in program.calls if call.layer]
    assert len(layers) == len(set(layers)) > 3
    for layer in layers:
        weight = network.module.get_submodule(layer).get_parameter("weight")
        assert tuple(weight.shape) == program.graph.tensors[f"{layer}.weight"].shape


def test_parts_of_split_channels_keep_their_integers(tmp_path):
    artifact = tiny.exported_int8(tiny.network(SAMPLES["shufflenet_v2"]), tmp_path)
    model = onnx.load(artifact.path)
    types = onnx_shapes.element_types(model)
    parted = [n for n in model.graph.node if n.op_type == "Split" and len(n.output) == 2]
    assert len(parted) == 2
    assert {types[name] for node in parted for name in node.output} == {TensorProto.UINT8}


@pytest.mark.parametrize("side", [16, 32, 64])
def test_a_plan_is_lowered_for_the_images_of_its_network(side):
    network = tiny.network(SAMPLES["vgg_bn"])
    signature = Signature.of_examples((1, side, side), num_classes=tiny.NUM_CLASSES)
    assert isinstance(network.module, GraphedModule)
    graph = network.module.program_for(signature).graph
    assert graph.inputs[0].shape == ("N", 1, side, side)
    (pool,) = [node for node in graph.nodes if node.op == "AveragePool"]
    assert pool.integers("kernel_shape") == (side // 16, side // 16)
