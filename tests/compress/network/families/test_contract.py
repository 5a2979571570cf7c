"""What every family owes, whatever its networks look like."""

from dataclasses import replace

import onnxruntime
import pytest
import safetensors.torch
import torch

from compress.export import writer
from compress.network.families import layout
from compress.network.families.catalog import BY_NAME, read
from compress.network.families.network import FamilyNetwork
from compress.network.member import Shape
from compress.network.preprocessing import Normalisation
from compress.network.sources import safetensors as weights
from compress.network.structure import channels, ordering
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES

SIZE = {"in_channels": 1, "num_classes": tiny.NUM_CLASSES}
EVERY = pytest.mark.parametrize("name", SAMPLES)
# Of no two stages the same, and odd on the way: strides and pools have to round.
RECTANGLE = (18, 21)


def loaded(path, net):
    return weights.load(
        path,
        architecture=net.module.architecture,
        normalisation=net.normalisation,
        input_shape=net.input_shape,
        num_classes=net.num_classes,
    )


def written(net, folder):
    """The network's file in float32, its gate passed, and its answers in ONNX Runtime."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(16, *net.input_shape, generator=generator)
    part = Images(x_NCHW=x, y_N=torch.arange(16) % tiny.NUM_CLASSES)
    data = ImageData(train=part, validation=part, test=None, num_classes=tiny.NUM_CLASSES)
    artifact = writer.write(
        CompressedModel(network=net), folder, data=data, task=IMAGE_CLASSIFICATION
    )
    session = onnxruntime.InferenceSession(artifact.path, providers=["CPUExecutionProvider"])
    return artifact, x, session


def assert_answers_alike(net, x, session):
    for batch in (x, x[:1]):
        with torch.no_grad():
            expected = net.module((batch - 0.5) / 2)
        (found,) = session.run(None, {"input": batch.numpy()})
        scale = float(expected.abs().max())
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4 * scale, rtol=1e-4)


def test_every_family_is_here():
    assert {architecture.family for architecture in SAMPLES.values()} == set(BY_NAME)
    assert {family.config.model_fields["family"].default for family in BY_NAME.values()} == set(
        BY_NAME
    )


@EVERY
def test_the_network_has_the_tensors_and_the_costs_of_the_layout(name):
    architecture, net = SAMPLES[name], tiny.network(SAMPLES[name])
    expected = layout.tensor_shapes(architecture, **SIZE)
    pads = {
        f"{row.name}.weight" for row in layout.layers(architecture, **SIZE) if row.kind == "pad"
    }
    shapes = {
        tensor: tuple(value.shape)
        for tensor, value in net.module.state_dict().items()
        if tensor not in pads and not tensor.endswith(weights.COUNTER)
    }
    assert shapes == expected
    assert tiny.counted(net) == (
        layout.parameters(architecture, **SIZE),
        layout.macs(architecture, **SIZE, height=tiny.SIDE, width=tiny.SIDE),
    )


@EVERY
def test_every_layer_has_the_output_that_the_layout_says(name):
    architecture, seen = SAMPLES[name], {}
    module = FamilyNetwork(architecture, **SIZE).eval()
    for layer in module.plan.layers:
        module.get_submodule(layer.name).register_forward_hook(
            lambda _, args, output, name=layer.name: seen.update({name: tuple(output.shape[1:])})
        )
    module(torch.zeros(1, 1, *RECTANGLE))
    rows = layout.layers(architecture, **SIZE, image=RECTANGLE)
    assert {row.name: row.output for row in rows} == seen


@EVERY
def test_a_config_is_read_back_from_its_document(name):
    architecture = SAMPLES[name]
    assert read(architecture.model_dump(mode="json")) == architecture


@EVERY
def test_weights_are_the_same_for_the_same_seed_and_not_for_another(name):
    states = [tiny.network(SAMPLES[name], seed=seed).module.state_dict() for seed in (1, 1, 2)]
    first = next(iter(layout.tensor_shapes(SAMPLES[name], **SIZE)))
    assert all(torch.equal(states[0][tensor], states[1][tensor]) for tensor in states[0])
    assert not torch.equal(states[0][first], states[2][first])


@EVERY
def test_a_file_of_a_state_dict_loads_to_the_same_answers_and_so_does_a_saved_one(name, tmp_path):
    net = tiny.network(SAMPLES[name])
    pads = {
        f"{row.name}.weight" for row in layout.layers(SAMPLES[name], **SIZE) if row.kind == "pad"
    }
    state = {key: tensor for key, tensor in net.module.state_dict().items() if key not in pads}
    assert any(key.endswith(weights.COUNTER) for key in state)
    safetensors.torch.save_file(state, tmp_path / "torch.safetensors")
    weights.save(net, tmp_path / "own.safetensors")
    for file in ("torch.safetensors", "own.safetensors"):
        assert torch.equal(tiny.answers(loaded(tmp_path / file, net)), tiny.answers(net))


@EVERY
def test_the_file_answers_like_the_network_and_costs_what_the_layout_says(name, tmp_path):
    net = replace(
        tiny.network(SAMPLES[name]),
        input_shape=(1, *RECTANGLE),
        normalisation=Normalisation(mean=(0.5,), std=(2.0,)),
    )
    artifact, x, session = written(net, tmp_path)
    assert_answers_alike(net, x, session)
    height, width = RECTANGLE
    assert artifact.macs == layout.macs(SAMPLES[name], **SIZE, height=height, width=width)


@EVERY
def test_the_file_of_a_member_at_another_resolution_resizes_its_images(name, tmp_path):
    side = 32 if name == "vgg_bn" else 8
    member = SAMPLES[name].member(Shape(resolution=side))
    net = replace(tiny.network(member), normalisation=Normalisation(mean=(0.5,), std=(2.0,)))
    shrunk = torch.nn.functional.interpolate(tiny.images(), size=(side, side), mode="bilinear")
    assert torch.equal(tiny.answers(net), tiny.network(SAMPLES[name]).module(shrunk))
    artifact, x, session = written(net, tmp_path)
    assert_answers_alike(net, x, session)
    assert artifact.macs == layout.macs(SAMPLES[name], **SIZE, height=side, width=side)


@pytest.mark.parametrize(
    "name",
    ["resnet", "resnet, bottleneck", "vgg_bn", "ds_cnn", "nasbench201, one cell"],
)
def test_the_8_bit_file_answers_like_the_network(name, tmp_path):
    net = tiny.network(SAMPLES[name])
    artifact = tiny.exported_int8(net, tmp_path)
    assert artifact.agreement >= 0.9
    assert artifact.macs == tiny.counted(net)[1]


@pytest.mark.parametrize("name", [n for n in SAMPLES if n != "shufflenet_v2"])
def test_every_group_of_channels_can_be_halved(name):
    net = tiny.network(SAMPLES[name])
    found = channels.find(net)
    assert found.fixed == {}
    counts = {group.root: group.num_channels // 2 for group in found.groups}
    pruned = channels.keep(net, counts, lambda group: torch.arange(float(group.num_channels)))
    assert tiny.answers(pruned).shape == (3, tiny.NUM_CLASSES)
    assert tiny.counted(pruned) < tiny.counted(net)


@EVERY
def test_channels_in_order_of_importance_answer_as_before(name):
    net = tiny.network(SAMPLES[name])

    def by_position(group):
        return torch.arange(float(group.num_channels))

    kept = SAMPLES[name].family == "residual" and "pad" in name
    ordered = ordering.ordered(net, by_position, may_move=lambda group: not kept)
    first = f"{net.module.plan.layers[0].name}.weight"
    moved = not torch.equal(ordered.module.get_parameter(first), net.module.get_parameter(first))
    assert moved != kept
    scale = float(tiny.answers(net).abs().max())
    torch.testing.assert_close(
        tiny.answers(ordered), tiny.answers(net), atol=1e-5 * scale, rtol=1e-4
    )
