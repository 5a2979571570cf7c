"""Networks in the layouts of timm and torchvision, from a checkpoint to what a service sees."""

import pytest
import safetensors.torch
import torch
from torch import nn

from compress.network.sources import onnx_inspection
from compress.network.sources.onnx_info import InspectedNetwork
from featherweight.torch import CheckpointUnfit, export, load_weights
from tests.featherweight.torch import published
from tests.featherweight.torch.test_exporting import IMAGES, Plain

NETWORKS = {
    "timm EfficientNet": (published.TimmEfficientNet, "conv_stem", "classifier", 12),
    "torchvision ResNet": (published.TorchvisionResNet, "conv1", "fc", 5),
    "torchvision MobileNet": (published.TorchvisionMobileNet, "features.0.0", "classifier.3", 9),
}


@pytest.mark.parametrize("exporter", ["legacy", pytest.param("dynamo", marks=pytest.mark.proof)])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_published_layout_is_read_with_its_names_norms_and_channels(tmp_path, kind, exporter):
    make, first, last, least = NETWORKS[kind]
    torch.manual_seed(0)
    network, path = make().train(), tmp_path / "network.onnx"
    assert export(network, IMAGES, path, exporter=exporter).error < 1e-5
    verdict = onnx_inspection.verdict(path.read_bytes()).found
    assert isinstance(verdict, InspectedNetwork), verdict
    info = verdict.info
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    assert info.operators["BatchNormalization"] == len(norms)
    assert {"Dropout", "RandomUniform", "Bernoulli"} & set(info.operators) == set()
    names = [layer.name for layer in info.layers]
    assert (names[0], names[-1]) == (first, last)
    assert set(names) == {
        name for name, each in network.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)
    }
    assert sum(layer.loses_channels for layer in info.layers) >= least


def wrapped(network, how):
    """What a checkpoint of the network holds."""
    state = network.state_dict()
    return {
        "as it is": state,
        "DataParallel": nn.DataParallel(network).state_dict(),
        "torch.compile": {f"_orig_mod.{name}": each for name, each in state.items()},
        "both": {f"module._orig_mod.{name}": each for name, each in state.items()},
        "Lightning": {
            "epoch": 3,
            "state_dict": {f"model.{name}": each for name, each in state.items()}
            | {"criterion.weight": torch.ones(5)},
            "optimizer_states": [],
        },
        "a backbone of one's own": {f"encoder.body.{name}": e for name, e in state.items()},
        "a training script": {"model": state, "optimizer": {}, "epoch": torch.tensor(7)},
    }[how]


HOW = {
    "as it is": (),
    "DataParallel": ("every weight is named 'module.' and then as in the module",),
    "torch.compile": ("every weight is named '_orig_mod.' and then as in the module",),
    "both": ("every weight is named 'module._orig_mod.' and then as in the module",),
    "Lightning": (
        "the weights are those of 'state_dict' in the checkpoint",
        "every weight is named 'model.' and then as in the module",
        "1 tensors are not of the module: criterion.weight",
    ),
    "a backbone of one's own": ("every weight is named 'encoder.body.' and then as in the module",),
    "a training script": ("the weights are those of 'model' in the checkpoint",),
}


@pytest.mark.parametrize("how", HOW)
def test_weights_are_loaded_whatever_was_around_the_module(tmp_path, how):
    trained, fresh, path = Plain(), Plain(), tmp_path / "checkpoint.pt"
    torch.save(wrapped(trained, how), path)
    assert load_weights(fresh, path) == HOW[how]
    for name, tensor in trained.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor)


def test_safetensors_and_mappings_are_loaded_too(tmp_path):
    trained, fresh, path = Plain(), Plain(), tmp_path / "checkpoint.safetensors"
    safetensors.torch.save_file(wrapped(trained, "torch.compile"), path)
    assert load_weights(fresh, path) == HOW["torch.compile"]
    assert load_weights(fresh, trained.state_dict()) == ()
    assert torch.equal(fresh.fc.weight, trained.fc.weight)


TWICE = {
    f"{prefix}.{name}": tensor
    for prefix in ("model", "ema")
    for name, tensor in Plain().state_dict().items()
}
LESS = {name: each for name, each in Plain().state_dict().items() if name != "fc.bias"}


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"epoch": 3}, "holds no tensors by name, only epoch"),
        (TWICE, "2 times, named model., ema."),
        (LESS, "no weights named fc.bias"),
        (Plain().state_dict() | {"fc.bias": torch.ones(7)}, r"fc.bias is \(7,\), expected \(5,\)"),
    ],
    ids=["no tensors", "twice", "less", "another shape"],
)
def test_what_are_not_the_weights_of_the_module_is_refused_and_it_stays_as_it_is(held, said):
    module = Plain()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(CheckpointUnfit, match=said):
        load_weights(module, held)
    assert all(torch.equal(before[name], each) for name, each in module.state_dict().items())


def test_a_whole_module_is_not_opened(tmp_path):
    path = tmp_path / "whole.pt"
    torch.save(nn.Linear(2, 3), path)
    with pytest.raises(CheckpointUnfit, match="without running code"):
        load_weights(Plain(), path)
