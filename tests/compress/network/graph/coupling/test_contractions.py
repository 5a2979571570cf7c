"""Channels of convolutions and products leave with what makes, reads and passes them."""

import pytest

from tests.compress.network.graph.coupling.graphs import (
    between,
    channels_of,
    coupled,
    graph,
    node,
    sizes,
)


def test_a_filter_leaves_with_its_bias_its_norm_and_its_reader():
    whole = between(
        node("Conv", ("x", "w", "b"), "again"),
        node("BatchNormalization", ("again", "s", "t", "m", "q"), "normed"),
        node("Relu", ("normed",), "seen"),
        b=(6,),
        s=(6,),
        t=(6,),
        m=(6,),
        q=(6,),
    )
    expected = {(name, 0, 2) for name in ("w", "b", "s", "t", "m", "q")} | {("v", 1, 2)}
    assert channels_of(whole, "made")[2] == expected
    held = {one.tensor: one.part for one in coupled(whole).groups[0].slices}
    assert held == {
        "w": "filter",
        "b": "bias",
        "s": "batchnorm",
        "t": "batchnorm",
        "m": "batchnorm",
        "q": "batchnorm",
        "v": "reader",
    }


def test_what_comes_in_and_what_goes_out_stays():
    whole = between(node("Relu", ("made",), "seen"))
    assert coupled(whole).fixed == {"answer": "they are what the network answers"}
    added = between(node("Add", ("x", "u"), "seen"), u=(1, 3, 1, 1), v=(2, 3, 1, 1))
    assert "answer" in coupled(added).fixed


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_convolutions_have_any_number_of_dimensions(spatial):
    ones = (1,) * spatial
    whole = graph(
        node("Conv", ("x", "w"), "made"),
        node("ConvTranspose", ("made", "u"), "up"),
        node("Conv", ("up", "v"), "answer"),
        x=("N", 3, *(4,) * spatial),
        w=(6, 3, *ones),
        u=(6, 5, *ones),
        v=(2, 5, *ones),
    )
    assert sizes(whole) == {"made": 6, "up": 5}
    assert channels_of(whole, "up")[4] == {("u", 1, 4), ("v", 1, 4)}


def test_a_depthwise_convolution_passes_channels_on():
    whole = between(
        node("Conv", ("made", "d"), "deep", group=6),
        node("Relu", ("deep",), "seen"),
        d=(6, 1, 3, 3),
    )
    assert channels_of(whole, "made")[1] == {("w", 0, 1), ("d", 0, 1), ("v", 1, 1)}
    assert [held.part for held in coupled(whole).groups[0].slices][1] == "depthwise"


@pytest.mark.parametrize(
    ("op", "shape"), [("Conv", (12, 1, 3, 3)), ("ConvTranspose", (6, 2, 3, 3))]
)
def test_with_a_multiplier_all_outputs_of_a_channel_leave_together(op, shape):
    whole = between(node(op, ("made", "d"), "seen", group=6), d=shape, v=(2, 12, 1, 1))
    own = {("d", 0, 2), ("d", 0, 3)} if op == "Conv" else {("d", 0, 1)}
    assert channels_of(whole, "made")[1] == {("w", 0, 1), ("v", 1, 2), ("v", 1, 3)} | own


@pytest.mark.parametrize(
    ("op", "weight"), [("Conv", (4, 3, 1, 1)), ("ConvTranspose", (6, 2, 1, 1))]
)
def test_the_sections_of_a_grouped_convolution_lose_alike(op, weight):
    whole = between(node(op, ("made", "g"), "seen", group=2), g=weight, v=(2, 4, 1, 1))
    groups = {group.root: group for group in coupled(whole).groups}
    assert {root: (one.num_channels, one.sections) for root, one in groups.items()} == {
        "made": (6, 2),
        "seen": (4, 2),
    }
    (reader,) = (one for one in groups["made"].slices if one.tensor == "g")
    assert (reader.part, reader.sections) == ("reader", 2 if op == "Conv" else 1)
    assert reader.slice_S.tolist() == [0, 1, 2, 3, 4, 5]


def test_sections_that_split_the_channels_of_two_layers_join_what_meets():
    whole = graph(
        node("Conv", ("x", "w"), "one"),
        node("Conv", ("x", "w2"), "two"),
        node("Concat", ("one", "two"), "both", axis=1),
        node("Conv", ("both", "g"), "seen", group=2),
        node("Conv", ("seen", "v"), "answer"),
        w=(4, 3, 1, 1),
        w2=(2, 3, 1, 1),
        g=(4, 3, 1, 1),
        v=(2, 4, 1, 1),
    )
    # Place by place of the sections 0 1 2 | 3 4 5: channel 3 of one meets 0, its others meet two's.
    found = coupled(whole)
    assert {one.root: one.num_channels for one in found.groups if one.root != "seen"} == {"two": 2}
    assert channels_of(whole, "two")[0] == {("w", 0, 1), ("w2", 0, 0), ("g", 1, 1), ("g", 1, 4)}


def test_linear_layers_of_both_forms_and_orientations():
    whole = graph(
        node("Gemm", ("x", "w", "b"), "one", transB=1),
        node("Gemm", ("one", "u"), "two"),
        node("MatMul", ("two", "t"), "three"),
        node("Add", ("three", "c"), "moved"),
        node("MatMul", ("moved", "v"), "answer"),
        x=("N", 4),
        w=(6, 4),
        b=(6,),
        u=(6, 5),
        t=(5, 7),
        c=(7,),
        v=(7, 2),
    )
    assert sizes(whole) == {"one": 6, "two": 5, "three": 7}
    assert channels_of(whole, "one")[3] == {("w", 0, 3), ("b", 0, 3), ("u", 0, 3)}
    assert channels_of(whole, "three")[6] == {("t", 1, 6), ("c", 0, 6), ("v", 0, 6)}


def test_a_weight_on_the_left_makes_rows():
    whole = graph(
        node("MatMul", ("w", "x"), "made"),
        node("MatMul", ("v", "made"), "answer"),
        x=("N", 4, 5),
        w=(6, 4),
        v=(2, 6),
    )
    assert channels_of(whole, "made")[0] == {("w", 0, 0), ("v", 1, 0)}
