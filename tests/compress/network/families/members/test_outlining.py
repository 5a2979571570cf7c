"""Outlines of networks of families, and what they answer of members."""

from __future__ import annotations

import pytest

from compress.network.families import catalog, layout, outlining
from compress.network.families.ds_cnn.config import DsCnn
from compress.network.families.mobilenet_v2.config import MobileNetV2
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.residual.config import Residual
from compress.network.families.vgg_bn.config import VggBn
from compress.network.member import AS_IS, Shape
from compress.network.outline import ElasticNetwork, Outline
from compress.network.structure import channels
from compress.values.errors import InvalidCandidate
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES

CELLS = NasBench201(channels=4, cells=(1, 1, 1))
ACTS = ("filter", "depthwise", "reader")
THROUGH = ("none", "none", "none", "nor_conv_1x1", "none", "none")


def outlined(network: catalog.Architecture, side: int = 64) -> Outline:
    return outlining.outline(network, input_shape=(3, side, side), num_classes=10)


def members_of(network: catalog.Architecture) -> ElasticNetwork:
    found = outlined(network).elastic
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("network", "least"),
    [
        (Residual(widths=(4, 8), depths=(1, 1)), 2),
        (Residual(widths=(4, 8), depths=(1, 1), resolution=32), 2),
        (MobileNetV2(), 32),
        (MobileNetV2(stem_stride=1, strides=(1, 1, 2, 2, 1, 2, 1)), 8),
        (VggBn(pool=1), 32),
        (CELLS, 4),
        (DsCnn(), 2),
        (DsCnn(stem_kernel=(16, 1), stem_stride=(1, 3), stride=2), 6),
    ],
)
def test_the_least_input_is_what_the_strides_leave_a_pixel_of(
    network: catalog.Architecture, least: int
) -> None:
    assert outlined(network).least_input == least
    rows = layout.layers(network, in_channels=3, num_classes=10, image=(least, least))
    assert all(min(row.output[1:] or (1,)) >= 1 for row in rows)


def test_a_resolution_is_told_and_counted() -> None:
    small = Residual(widths=(4, 8), depths=(1, 1))
    resized = outlined(small).member(Shape(resolution=32))
    assert (resized.resolution, resized.image) == (32, (64, 64))
    assert resized.macs == outlined(small, side=32).macs < outlined(small).macs


def test_layers_of_a_cell_name_their_edge_and_operation() -> None:
    found = outlined(CELLS).layers
    on_edges = {(layer.edge, layer.operation) for layer in found if layer.edge is not None}
    assert on_edges == {(e, o) for e in range(6) for o in ("nor_conv_1x1", "nor_conv_3x3")}
    assert all(layer.operation == "" for layer in found if layer.edge is None)
    assert all(layer.edge is None for layer in outlined(MobileNetV2()).layers)


def test_members_answer_for_their_family() -> None:
    network = MobileNetV2(width=0.25)
    members = members_of(network)
    assert (members.family, members.dimensions) == ("mobilenet_v2", network.elastic)
    assert (members.largest_depth, members.largest_kernel) == (4, network.largest_kernel)
    assert members.operations == ()
    assert members.least(()) == ()
    assert members.is_whole(Shape(depth=AS_IS))
    assert not members.is_whole(Shape(width=0.5))


def test_cells_without_a_path_are_constant() -> None:
    members = members_of(CELLS)
    assert members.operations == CELLS.operations
    assert not members.is_constant(Shape(cell=THROUGH))
    assert members.is_constant(Shape(cell=("none",) * 6))
    dead = ("nor_conv_3x3", *THROUGH[1:])
    assert members.least([(name,) for name in dead]) == THROUGH


def test_an_operation_that_no_member_has_is_refused() -> None:
    with pytest.raises(InvalidCandidate, match="a cell has 6 edges, got 1"):
        outlined(CELLS).member(Shape(cell=("none",)))


@pytest.mark.parametrize("name", ["shufflenet_v2", "vgg_bn", "mobilenet_v3"])
def test_the_layers_that_lose_channels_are_those_of_the_network_in_torch(name: str) -> None:
    network = tiny.network(SAMPLES[name])
    groups = channels.find(network).groups
    expected = {member.layer for group in groups for member in group.members if member.kind in ACTS}
    found = outlining.narrowed(SAMPLES[name], in_channels=1, num_classes=tiny.NUM_CLASSES)
    assert found == expected


def test_shortcuts_before_a_shuffle_lose_none() -> None:
    sample = SAMPLES["shufflenet_v2"]
    found = outlining.narrowed(sample, in_channels=1, num_classes=tiny.NUM_CLASSES)
    rows = layout.layers(sample, in_channels=1, num_classes=tiny.NUM_CLASSES)
    assert found is not None
    kept = [row.name for row in rows if row.name not in found]
    assert kept == [f"stage{n}.0.branch1.{layer}" for n in (3, 4) for layer in (0, 2)]
    whole = {row.name for row in rows if row.has_factors}
    assert "stage3.0.branch1.2" in whole
    assert "stage3.0.branch1.0" not in whole


def test_no_channels_are_looked_for_where_no_path_leads_through_a_cell() -> None:
    nowhere = CELLS.model_copy(update={"cell": ("none",) * 6})
    assert outlining.narrowed(nowhere, in_channels=3, num_classes=10) is None
