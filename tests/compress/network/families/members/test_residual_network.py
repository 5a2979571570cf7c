import copy

import pytest
import safetensors.torch
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.data import cifar
from compress.network.families import layout
from compress.network.families.network import PadShortcut, build
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.sources import safetensors as weights
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.training import loop
from compress.values.errors import InvalidWeights, NumericalError
from tests.devices import DEVICE

ARCHITECTURES = [
    Residual(widths=(8, 12, 20), depths=(2, 1, 2), shortcut="pad"),
    Residual(widths=(8, 12, 20), depths=(2, 1, 2), shortcut="conv"),
    Residual(widths=(5,), depths=(1,), shortcut="pad"),
]


def network(architecture=ARCHITECTURES[0], *, seed=0, channels=3):
    return Network(
        module=build(architecture, in_channels=channels, num_classes=10, seed=seed),
        normalisation=Normalisation(mean=(0.0,) * channels, std=(1.0,) * channels),
        input_shape=(channels, 9, 8),
        num_classes=10,
    )


def load(path, architecture=ARCHITECTURES[0], **changes):
    size = {"input_shape": (3, 9, 8), "num_classes": 10} | changes
    plain = Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3)
    return weights.load(path, architecture=architecture, normalisation=plain, **size)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_names_shapes_and_parameters_are_those_of_the_layout(architecture):
    module = build(architecture, in_channels=3, num_classes=10, seed=0)
    size = {"in_channels": 3, "num_classes": 10}
    expected = layout.tensor_shapes(architecture, **size)
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    assert {name: shapes[name] for name in expected} == expected
    extra = set(shapes) - set(expected)
    assert all(name.endswith((".num_batches_tracked", ".shortcut.weight")) for name in extra)
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert trained == layout.parameters(architecture, **size)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_the_layout_counts_the_macs_that_torch_counts(architecture):
    module = build(architecture, in_channels=3, num_classes=10, seed=0)
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 3, 9, 14))
    counted = layout.macs(architecture, in_channels=3, num_classes=10, height=9, width=14)
    assert counted == counter.get_total_flops() // 2


@pytest.mark.parametrize(("before", "after"), [(16, 32), (32, 64), (8, 12), (5, 5)])
def test_the_pad_shortcut_is_exactly_every_second_pixel_with_padded_channels(before, after):
    shortcut = PadShortcut(before, after, stride=2)
    x = torch.randn(2, before, 9, 8, generator=torch.Generator().manual_seed(0))
    front = (after - before) // 2
    back = after - before - front
    expected = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, front, back))
    assert torch.equal(shortcut(x), expected)
    assert not shortcut.weight.requires_grad


def test_equal_seeds_give_equal_networks_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    one, same, other = (network(seed=seed).module.state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_saved_weights_load_to_the_same_answers(architecture, tmp_path):
    original = network(architecture)
    weights.save(original, tmp_path / "w.safetensors")
    loaded = load(tmp_path / "w.safetensors", architecture)
    x = torch.randn(2, *original.input_shape)
    assert torch.equal(loaded.module(x), original.module(x))
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_half_precision_weights_load_as_float32(tmp_path):
    tensors = network().module.state_dict()
    halves = {
        name: tensor.half()
        for name, tensor in tensors.items()
        if not name.endswith(("tracked", ".shortcut.weight"))
    }
    safetensors.torch.save_file(halves, tmp_path / "half.safetensors")
    module = load(tmp_path / "half.safetensors").module
    assert module.get_parameter("conv1.weight").dtype == torch.float32


def test_weights_of_another_architecture_are_refused_by_name(tmp_path):
    weights.save(network(), tmp_path / "w.safetensors")
    deeper = ARCHITECTURES[0].model_copy(update={"depths": (2, 2, 2)})
    with pytest.raises(InvalidWeights, match=r"missing: layer2\.1\.bn1\.bias.* 7 more"):
        load(tmp_path / "w.safetensors", deeper)


def test_weights_for_other_classes_than_the_data_are_refused(tmp_path):
    weights.save(network(), tmp_path / "w.safetensors")
    with pytest.raises(InvalidWeights, match=r"10 classes, the data has 3 .* 7"):
        load(tmp_path / "w.safetensors", num_classes=7)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    broken = network()
    broken.module.get_parameter("linear.weight").data[0, 0] = value
    weights.save(broken, tmp_path / "w.safetensors")
    with pytest.raises(NumericalError, match=r"linear\.weight"):
        load(tmp_path / "w.safetensors")


def test_a_network_that_has_lost_channels_cannot_be_saved_as_a_family_member(tmp_path):
    cut = network()
    shortcut = copy.deepcopy(cut.module).get_submodule("layer2.0.shortcut")
    cut.module.set_submodule("layer2.0.shortcut", shortcut)
    cut.module.get_parameter("layer2.0.shortcut.weight").data.zero_()
    with pytest.raises(ValueError, match="layout of its family"):
        weights.save(cut, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_published_resnet20_scores_as_published():
    if not cifar.DATA.exists():
        pytest.skip("the published checkpoint and CIFAR-10 are not beside the repository")
    validation = cifar.images(train_images=100).validation
    first = Images(x_NCHW=validation.x_NCHW[:1000], y_N=validation.y_N[:1000])
    assert loop.evaluate(cifar.network(), first, DEVICE, task=IMAGE_CLASSIFICATION) >= 0.90
