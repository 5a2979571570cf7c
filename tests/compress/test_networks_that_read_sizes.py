"""8-bit files of networks that compute with integers: their own sizes, indices, masks."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch.nn import functional

from compress.evaluation import runtime
from compress.export import onnx_shapes, views, writer
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.values.errors import ExportParityError
from tests.compress.applying import applied, quantized

# The tracer warns of whatever becomes a constant.
pytestmark = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
COUNTS = (1, 7, 64)


def exchanged(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def positions(x: Tensor) -> Tensor:
    return x + torch.ones(1, 8, 1, 1).expand(x.shape[0], -1, x.size(2), x.size(3)) * 0.1


def first_token(x: Tensor) -> Tensor:
    n = x.shape[0]
    tokens = torch.cat([torch.ones(1, 8, 1).expand(n, -1, -1), x.flatten(2)], 2)
    return tokens[:, :, 1:].reshape(n, 8, x.shape[2], x.shape[3])


IN_THE_MIDDLE = {
    "shape[0]": lambda x: x.reshape(x.shape[0], -1).reshape(x.shape[0], 8, 8, 8),
    "size()": lambda x: x.reshape(x.size()[0], x.size(1) * x.size(2), -1).reshape(x.size()),
    "unpacked": exchanged,
    "int": lambda x: x.reshape(int(x.shape[0]), -1).reshape(-1, 8, 8, 8),
    "numel": lambda x: x.reshape(x.shape[0], x.numel() // x.shape[0]).reshape(-1, 8, 8, 8),
    "batch and channels": lambda x: x.reshape(x.shape[0] * x.shape[1], 1, 8, 8).reshape(x.shape),
    "expand": positions,
    "first token": first_token,
    "zeros": lambda x: torch.cat([x[:, :4], x.new_zeros(x.size(0), 4, *x.shape[2:])], 1),
    "range": lambda x: x * torch.arange(x.shape[3]).float() / 8,
    "resize": lambda x: functional.interpolate(functional.max_pool2d(x, 2), size=x.shape[2:]),
    "bilinear": lambda x: functional.interpolate(
        functional.max_pool2d(x, 3), size=x.shape[2:], mode="bilinear"
    ),
    "pad": lambda x: functional.pad(x, (0, x.shape[3] % 2 + 1))[:, :, :, : x.shape[3]],
    "comparison": lambda x: x * (x > 0.2),
    "where": lambda x: torch.where(x > 0.2, x, torch.zeros_like(x)),
    "argmax": lambda x: x * ((x.argmax(1, keepdim=True) * 2 + 1).float() / 8),
    "indices": lambda x: x[:, torch.arange(x.shape[1] - 1, -1, -1)],
    "whole numbers": lambda x: torch.cat([(x[:, :4] * 9).long(), (x[:, 4:] * 8).long()], 1) / 9,
    "clipped integers": lambda x: (x * 9 - 2).int().clamp(min=0).float() / 9,
    "double": lambda x: (x.double() * x.double() + x.double()).float(),
}


class Between(nn.Module):
    """Something between two convolutions."""

    def __init__(self, what) -> None:
        super().__init__()
        self.what = what
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.last(self.what(functional.relu(self.first(x)))))
        return self.head(x.mean((2, 3)))


class Signal(nn.Module):
    """All pixels of a channel are one signal."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv1d(3, 8, 3, padding=1), nn.Conv1d(8, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.first(x.flatten(2)))
        return self.head(functional.relu(self.last(x)).mean(2))


@pytest.fixture(scope="module")
def data():
    pixels = np.random.default_rng(0).integers(0, 255, (64, 3, 8, 8)).astype(np.uint8)
    images = Images(x_NCHW=torch.from_numpy(pixels), y_N=torch.arange(64) % 5)
    return ImageData(train=images, validation=images, test=None, num_classes=5)


def network_of(module: nn.Module) -> Network:
    return Network(
        module=module.eval(),
        normalisation=Normalisation(mean=(127.0,) * 3, std=(64.0,) * 3),
        input_shape=(3, 8, 8),
        num_classes=5,
    )


def seeded(kind, *arguments) -> Network:
    torch.manual_seed(0)
    return network_of(kind(*arguments))


def largest_error(network: Network, data: ImageData, path, count: int) -> float:
    """Of the file's answers to so many images, as a share of the spread of all."""
    x_NCHW = data.validation.x_NCHW.float()
    with torch.no_grad():
        expected = network.module((x_NCHW - 127) / 64).numpy()
    found = runtime.answers(runtime.session(path), x_NCHW[:count])
    return float(np.abs(found - expected[:count]).max() / expected.std())


def written(network: Network, data: ImageData, folder):
    start = CompressedModel(network=network)
    return writer.write(
        quantized(start, data, reduced_range=True), folder, data=data, task=IMAGE_CLASSIFICATION
    )


@pytest.mark.parametrize("name", IN_THE_MIDDLE)
def test_an_8_bit_file_answers_like_its_network_for_any_number_of_images(name, data, tmp_path):
    network = seeded(Between, IN_THE_MIDDLE[name])
    artifact = written(network, data, tmp_path)
    assert all(largest_error(network, data, artifact.path, count) < 0.3 for count in COUNTS)
    assert not any("Shape" in note or "Unsqueeze" in note for note in artifact.notes)


def test_a_signal_of_all_pixels_has_an_8_bit_file(data, tmp_path):
    network = seeded(Signal)
    artifact = written(network, data, tmp_path)
    assert all(largest_error(network, data, artifact.path, count) < 0.3 for count in COUNTS)


@pytest.mark.parametrize("name", ["expand", "numel", "pad", "resize", "first token"])
def test_products_behind_computed_sizes_are_counted(name, data, tmp_path):
    artifact = written(seeded(Between, IN_THE_MIDDLE[name]), data, tmp_path)
    assert artifact.macs == 64 * 9 * (3 * 8 + 8 * 8) + 8 * 5


@pytest.mark.parametrize("name", ["unpacked", "expand", "argmax", "double", "whole numbers"])
def test_every_grid_is_that_of_a_float_tensor(name, data, tmp_path):
    artifact = written(seeded(Between, IN_THE_MIDDLE[name]), data, tmp_path)
    model = onnx.load(artifact.path)
    types = onnx_shapes.element_types(model)
    quantized_ones = [n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    assert len(quantized_ones) >= 3
    assert {types[each] for each in quantized_ones} == {TensorProto.FLOAT}


def test_the_element_type_of_every_tensor_is_known():
    graph = writer.float_graph(seeded(Between, IN_THE_MIDDLE["whole numbers"]))
    types = onnx_shapes.element_types(graph)
    assert {name for node in graph.graph.node for name in node.output} <= set(types)
    of_casts = {types[n.output[0]] for n in graph.graph.node if n.op_type == "Cast"}
    assert TensorProto.INT64 in of_casts


def test_flipped_views_of_such_a_network_are_averaged_in_8_bits(data, tmp_path):
    network = seeded(Between, exchanged)
    start = CompressedModel(network=network)
    mirrored = applied(start, data, technique="mirroring")
    changed = quantized(mirrored, data, reduced_range=True)
    assert views.of(changed) != views.of(start)
    path = writer.write(changed, tmp_path, data=data, task=IMAGE_CLASSIFICATION).path
    x_NCHW = data.validation.x_NCHW.float()
    session = runtime.session(path)
    one, many = runtime.answers(session, x_NCHW[:1]), runtime.answers(session, x_NCHW)
    np.testing.assert_allclose(one, many[:1], atol=1e-5)


def test_a_number_of_images_that_became_a_constant_is_refused_with_a_way_out(data, tmp_path):
    def folded(x):
        # Harmless for an even number of images.
        return x.reshape(len(x), -1, 8, 8, 8).reshape(-1, 8, 8, 8)

    with pytest.raises(
        ExportParityError, match=r"not run on 1 images; .* let it read x.shape\[0\]"
    ):
        writer.write(
            CompressedModel(network=seeded(Between, folded)),
            tmp_path,
            data=data,
            name="constant",
            task=IMAGE_CLASSIFICATION,
        )
    assert not list(tmp_path.iterdir())
