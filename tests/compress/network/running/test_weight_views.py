"""Layers as matrices of weights, and the open table of the types that have a view."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from compress.network import layers
from compress.network.running import weight_views
from compress.network.running.plain_views import LinearView
from compress.network.running.weight_views import find_view, is_weighted, view_of
from compress.tasks.images import ImageData, Images
from compress.techniques.compressed import CompressedModel
from tests.compress.applying import applied
from tests.compress.networks import wrapped

CONVOLUTIONS = {
    "plain": nn.Conv2d(4, 6, 3, padding=1),
    "strided": nn.Conv2d(4, 6, 3, stride=2),
    "grouped": nn.Conv2d(4, 6, 3, padding=1, groups=2),
    "depthwise": nn.Conv2d(4, 8, (1, 3), padding=(0, 1), groups=4),
    "dilated": nn.Conv2d(4, 6, 3, padding=2, dilation=2),
    "same": nn.Conv2d(4, 6, (1, 3), padding="same", dilation=2),
    "valid": nn.Conv2d(4, 6, 3, padding="valid"),
    "reflect": nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
}


def images(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def product(module, x_SNK):
    """The layer computed as a matrix product per group, ``(N, O)``."""
    weight_SOK = view_of(module).matrix(module.weight).unflatten(0, (len(x_SNK), -1))
    out_SNO = x_SNK @ weight_SOK.mT
    return out_SNO.permute(1, 0, 2).flatten(1) + module.bias


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_the_columns_times_the_weights_are_the_convolution(kind):
    module = CONVOLUTIONS[kind]
    x = images(2, 4, 8, 8)
    expected = module(x).permute(0, 2, 3, 1).flatten(0, 2)
    torch.testing.assert_close(product(module, view_of(module).columns(module, x)), expected)


def test_the_columns_of_other_layers_too():
    linear, x = nn.Linear(5, 3), images(2, 7, 5)
    torch.testing.assert_close(
        product(linear, view_of(linear).columns(linear, x)), linear(x).flatten(0, 1)
    )
    for conv, x in (
        (nn.Conv1d(4, 6, 3, padding=1, stride=2, groups=2), images(2, 4, 9)),
        (nn.Conv3d(4, 6, (1, 2, 3), padding=1, stride=2, groups=2), images(2, 4, 5, 6, 7)),
    ):
        expected = conv(x).flatten(2).permute(0, 2, 1).flatten(0, 1)
        torch.testing.assert_close(product(conv, view_of(conv).columns(conv, x)), expected)


def test_some_of_the_columns_are_those_at_equal_distances():
    for layer, x in (
        (nn.Conv2d(4, 6, 3, dilation=2, stride=(1, 2), groups=2), images(3, 4, 9, 8)),
        (nn.Linear(5, 3), images(20, 5)),
    ):
        every_SNK = view_of(layer).columns(layer, x)
        some_SNK = view_of(layer).columns(layer, x, most=7)
        places = torch.linspace(0, every_SNK.shape[1] - 1, 7).long()
        assert torch.equal(some_SNK, every_SNK[:, places])


LAYERS = {
    "linear": (nn.Linear(5, 3), images(2, 7, 5)),
    "one axis": (nn.Conv1d(4, 6, 3, groups=2), images(2, 4, 9)),
    "two axes": (nn.Conv2d(4, 6, 3, stride=2), images(2, 4, 9, 8)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_view_knows_the_sizes_the_positions_and_the_rows_of_a_layer(kind):
    layer, x = LAYERS[kind]
    view, output = view_of(layer), layer(x)
    rows_NO = view.rows(output)
    assert len(rows_NO) == view.positions(layer, x, output)
    assert view.sizes(layer) == (x.shape[view.channel_axis], rows_NO.shape[1])
    assert view.matrix(layer.weight).shape[0] == rows_NO.shape[1]


@pytest.mark.parametrize("kind", LAYERS)
def test_mean_squares_are_those_of_the_columns(kind):
    layer, x = LAYERS[kind]
    view = view_of(layer)
    expected_SK = view.columns(layer, x).square().mean(dim=1)
    found = view.mean_squares(layer, x)
    assert found.shape[1:] == layer.weight.shape[1:]
    torch.testing.assert_close(found.flatten(1), expected_SK)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_is_told_its_sizes_after_a_cut(kind):
    layer, _ = LAYERS[kind]
    view, before = view_of(layer), view_of(layer).sizes(layer)
    groups = view.groups(layer)
    view.resize_(layer, inputs=2, outputs=8, groups=groups)
    assert (view.sizes(layer), view.groups(layer)) == ((2, 8), groups)
    view.resize_(layer, inputs=before[0], outputs=before[1], groups=groups)


def test_what_derives_from_a_type_has_its_view_but_may_compute_something_else():
    class Twice(nn.Linear):
        def forward(self, input):
            return 2 * super().forward(input)

    class Named(nn.Conv2d):
        pass

    assert view_of(Twice(2, 2)) is view_of(nn.Linear(2, 2))
    assert not view_of(Twice(2, 2)).is_plain(Twice(2, 2))
    assert view_of(Named(2, 2, 1)).is_plain(Named(2, 2, 1))


def test_other_layers_have_no_view():
    assert not is_weighted(nn.Embedding(3, 2))
    assert not is_weighted(nn.ConvTranspose2d(3, 2, 1))
    assert find_view(None) is None
    with pytest.raises(TypeError, match="no view covers a LSTM, expected one of Linear, Conv1d"):
        view_of(nn.LSTM(2, 2))


class Halved(nn.Module):
    """Multiplies with half of its matrix."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.in_features, self.out_features = fan_in, fan_out
        self.weight, self.bias = nn.Parameter(torch.randn(fan_out, fan_in)), None

    def forward(self, x):
        return functional.linear(x, self.weight / 2)


class HalvedView(LinearView):
    kind = Halved


def test_a_type_that_is_added_to_the_table_is_worked_on(monkeypatch):
    x = torch.randint(0, 256, (32, 3, 8, 8), dtype=torch.uint8)
    some = Images(x_NCHW=x, y_N=torch.arange(32) % 5)
    data = ImageData(train=some, validation=some, test=None, num_classes=5)
    module = nn.Sequential(nn.Flatten(), Halved(192, 8), nn.ReLU(), nn.Linear(8, 5))
    network = wrapped(module, input_shape=(3, 8, 8))
    step = {"technique": "sparsity", "sparsity": 0.5}

    def sparse():
        return applied(CompressedModel(network=network), data, **step)

    assert any("1 (Halved, 1,536)" in note for note in sparse().notes)
    monkeypatch.setitem(weight_views.VIEWS, Halved, HalvedView())
    assert "1" in [layer.name for layer in layers.weighted(network)]
    made = sparse()
    assert not any("Halved" in note for note in made.notes)
    assert int((made.network.module.get_submodule("1").weight == 0).sum()) > 0


class StepsFirst(nn.Module):
    """Reads the rows of an image as steps: their axis comes first, or joins that of images."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(8, 6)
        self.steps = nn.Conv1d(1, 3, 3)
        self.head = nn.Linear(12, 2)

    def forward(self, x_BCHW):
        x_HBI = self.rows(x_BCHW[:, 0].transpose(0, 1)).relu()
        merged = self.steps(x_HBI.flatten(0, 1)[:, None])
        return self.head(merged.unflatten(0, x_HBI.shape[:2]).flatten(2).mean(0))


def test_a_layer_that_reads_steps_before_images_is_counted_as_often_as_it_multiplies():
    network = wrapped(StepsFirst(), input_shape=(1, 5, 8))
    found = layers.output_positions(network)
    assert found == {"rows": 5, "steps": 5 * 4, "head": 1}
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network.module(network.blank())
    macs = sum(one.num_weights * found[one.name] for one in layers.weighted(network))
    assert macs == counter.get_total_flops() // 2
