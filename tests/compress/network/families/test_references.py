"""Files with published names load, and answer as the papers say."""

import pytest
import safetensors.torch
import torch

from compress.network.families import layout
from compress.network.families.ds_cnn.config import DsCnn
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.resnet.config import ResNet
from compress.network.families.vgg_bn.config import VggBn
from compress.network.member import Shape
from compress.network.preprocessing import Normalisation
from compress.network.sources import inspection
from compress.network.sources import safetensors as weights
from compress.network.supernet import extraction
from tests.compress.network.families import references, tiny
from tests.compress.network.families.references import conv_shapes, linear_shapes

IMAGENET = {"in_channels": 3, "num_classes": 1000}
CLASSES = 7
CELLS = (
    ("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "skip_connect", "nor_conv_3x3", "none"),
    ("skip_connect", "none", "nor_conv_3x3", "avg_pool_3x3", "nor_conv_1x1", "avg_pool_3x3"),
)


def answers(architecture, tensors, x, folder):
    """Of the network that a file of these tensors loads to."""
    safetensors.torch.save_file(dict(tensors), folder / "published.safetensors")
    net = weights.load(
        folder / "published.safetensors",
        architecture=architecture,
        normalisation=Normalisation(mean=(0.0,) * x.shape[1], std=(1.0,) * x.shape[1]),
        input_shape=tuple(x.shape[1:]),
        num_classes=CLASSES,
    )
    with torch.no_grad():
        return net, net.module(x)


def images(*shape):
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(3))


def assert_alike(one, other):
    assert other.std() > 0.01 * other.abs().max()
    torch.testing.assert_close(one, other, atol=1e-4 * float(other.abs().max()), rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "depths", "inner"),
    [
        ("basic", (2, 2, 2, 2), 1.0),
        ("basic", (3, 4, 6, 3), 1.0),
        ("bottleneck", (3, 4, 6, 3), 1.0),
        ("bottleneck", (3, 4, 23, 3), 1.0),
        ("bottleneck", (3, 8, 36, 3), 1.0),
        ("bottleneck", (3, 4, 6, 3), 2.0),
    ],
)
def test_names_and_shapes_of_resnets_are_those_of_torchvision(kind, depths, inner):
    expected = references.resnet_shapes(
        (64, 128, 256, 512),
        depths,
        wider={"basic": 1, "bottleneck": 4}[kind],
        inner=inner,
        classes=1000,
    )
    config = ResNet(block=kind, depths=depths, inner=inner)
    assert layout.tensor_shapes(config, **IMAGENET) == expected


@pytest.mark.parametrize(
    "depths", [(1, 1, 2, 2, 2), (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)]
)
def test_names_and_shapes_of_vggs_are_those_of_torchvision(depths):
    expected = references.vgg_shapes(
        (64, 128, 256, 512, 512), depths, side=7, hidden=4096, classes=1000
    )
    assert layout.tensor_shapes(VggBn(depths=depths), **IMAGENET) == expected


@pytest.mark.parametrize(("kind", "wider"), [("basic", 1), ("bottleneck", 4)])
def test_a_resnet_of_torchvision_loads_and_answers_as_the_paper_says(kind, wider, tmp_path):
    widths, depths = (8, 12, 16), (2, 1, 2)
    shapes = references.resnet_shapes(widths, depths, wider=wider, classes=CLASSES)
    tensors, x = references.random_tensors(shapes), images(3, 41, 32)
    _, found = answers(ResNet(block=kind, widths=widths, depths=depths), tensors, x, tmp_path)
    assert_alike(found, references.resnet(tensors, x, depths, wider=wider))


def test_a_vgg_of_torchvision_loads_and_answers_as_the_paper_says(tmp_path):
    widths, depths = (6, 8, 10), (1, 2, 2)
    shapes = references.vgg_shapes(widths, depths, side=2, hidden=20, classes=CLASSES)
    tensors, x = references.random_tensors(shapes), images(3, 17, 32)
    config = VggBn(widths=widths, depths=depths, pool=2, hidden=20)
    _, found = answers(config, tensors, x, tmp_path)
    assert_alike(found, references.vgg(tensors, x, depths, side=2))


@pytest.mark.parametrize("steps", [(2, 2), (2, 1)], ids=str)
def test_a_ds_cnn_answers_with_zeros_where_tensorflow_puts_them(steps, tmp_path):
    shapes = conv_shapes("conv_1", "conv_1_norm", (8, 1, 10, 4))
    for block in (1, 2):
        for part, shape in (("dw_conv", (8, 1, 3, 3)), ("pw_conv", (8, 8, 1, 1))):
            name = f"conv_ds_{block}.{part}"
            shapes |= conv_shapes(name, f"{name}_norm", shape)
    shapes |= linear_shapes("fc1", CLASSES, 8)
    tensors, x = references.random_tensors(shapes), images(1, 49, 10)
    config = DsCnn(channels=8, depth=2, stem_stride=steps)
    _, found = answers(config, tensors, x, tmp_path)
    assert_alike(found, references.ds_cnn(tensors, x, 2, steps=steps))


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_published_cell_loads_and_answers_as_the_paper_says(cell, tmp_path):
    tensors = references.random_tensors(references.nasbench201_shapes(cell, 4, 2, classes=CLASSES))
    x = images(3, 16, 16)
    net, found = answers(NasBench201(cell=cell, channels=4, cells=2), tensors, x, tmp_path)
    assert_alike(found, references.nasbench201(tensors, x, cell, 4, 2))
    assert weights.is_whole(net.module)


def test_what_reads_only_zeros_in_a_published_cell_adds_nothing(tmp_path):
    """There its BatchNorm would add a constant; the benchmark counts such cells as equal."""
    cell = ("none", "nor_conv_3x3", "nor_conv_1x1", "nor_conv_1x1", "nor_conv_3x3", "none")
    tensors = references.random_tensors(references.nasbench201_shapes(cell, 4, 2, classes=CLASSES))
    x = images(3, 16, 16)
    _, found = answers(NasBench201(cell=cell, channels=4, cells=2), tensors, x, tmp_path)
    alone = ("none", "none", "none", "nor_conv_1x1", "none", "none")
    assert_alike(found, references.nasbench201(tensors, x, alone, 4, 2))


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_cell_cut_out_of_all_operations_is_that_cell(cell, tmp_path):
    """Its slice under the published names, run by the paper's words."""
    net = tiny.network(NasBench201(channels=4, cells=(2, 2, 2)))
    part = extraction.extract(net, net.module.architecture.member(Shape(cell=cell)))
    aliases = part.module.plan.aliases
    tensors = {}
    for name, tensor in part.module.state_dict().items():
        layer, _, last = name.rpartition(".")
        tensors[f"{aliases[layer]}.{last}"] = tensor
    x = tiny.images()
    with torch.no_grad():
        assert_alike(part.module(x), references.nasbench201(tensors, x, cell, 4, 2))


def test_the_table_of_a_file_is_read_without_a_weight(tmp_path):
    shapes = references.nasbench201_shapes(CELLS[0], 4, 1, classes=CLASSES)
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(references.random_tensors(shapes), path)
    architecture = NasBench201(cell=CELLS[0], channels=4, cells=1)
    info = inspection.inspect_weights(path, architecture, input_shape=(3, 8, 8))
    assert (info.in_channels, info.num_classes) == (3, CLASSES)
    assert info.parameters == layout.parameters(architecture, in_channels=3, num_classes=CLASSES)
