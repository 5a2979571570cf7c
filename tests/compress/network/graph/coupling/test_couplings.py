"""Channels that can only leave together are found, operator by operator, and the rest says why."""

import numpy as np
import pytest

from compress.network.graph.coupling.couplings import couple
from compress.values.errors import InvalidNetwork
from tests.compress.network.graph.coupling.graphs import (
    between,
    channels_of,
    coupled,
    graph,
    network,
    node,
    reason,
    sizes,
)


def test_a_sum_joins_channels_and_a_broadcast_one_joins_none():
    whole = between(
        node("Conv", ("x", "w2"), "other"),
        node("Add", ("made", "other"), "sum"),
        node("ReduceMean", ("x", "axes"), "mean", keepdims=1),
        node("Mul", ("sum", "mean"), "seen"),
        w2=(6, 3, 1, 1),
        axes=[1, 2, 3],
    )
    assert sizes(whole) == {"made": 6}
    assert channels_of(whole, "made")[5] == {("w", 0, 5), ("w2", 0, 5), ("v", 1, 5)}


def test_squeeze_and_excitation_scales_channels_by_channels():
    whole = between(
        node("GlobalAveragePool", ("made",), "mean"),
        node("Conv", ("mean", "r"), "less"),
        node("Conv", ("less", "e"), "more"),
        node("Sigmoid", ("more",), "gate"),
        node("Mul", ("made", "gate"), "seen"),
        r=(4, 6, 1, 1),
        e=(6, 4, 1, 1),
    )
    assert sizes(whole) == {"made": 6, "less": 4}
    assert channels_of(whole, "made")[0] == {
        ("w", 0, 0),
        ("r", 1, 0),
        ("e", 0, 0),
        ("v", 1, 0),
    }


def test_channels_side_by_side_stay_groups_of_their_own():
    whole = between(
        node("Conv", ("x", "w2"), "other"),
        node("Concat", ("made", "other"), "seen", axis=1),
        w2=(4, 3, 1, 1),
        v=(2, 10, 1, 1),
    )
    assert sizes(whole) == {"made": 6, "other": 4}
    assert channels_of(whole, "other")[1] == {("w2", 0, 1), ("v", 1, 7)}


def test_of_each_part_of_a_split_one_channel_stays():
    whole = between(
        node("Split", ("made", "parts"), ("left", "right"), axis=1),
        node("Conv", ("left", "u"), "small"),
        node("ReduceMax", ("right", "axes"), "large", keepdims=1),
        node("Mul", ("small", "large"), "seen"),
        parts=[4, 2],
        u=(2, 4, 1, 1),
        axes=[2, 3],
        v=(2, 2, 1, 1),
    )
    made, small = (one for one in coupled(whole).groups)
    assert (made.num_channels, made.subsets) == (4, ())
    assert (small.root, small.num_channels) == ("small", 2)
    assert channels_of(whole, "small")[1] == {("w", 0, 5), ("u", 0, 1), ("v", 1, 1)}


def test_a_subset_is_what_an_axis_consists_of():
    whole = between(
        node("Slice", ("made", "start", "end", "axis"), "part"),
        node("Conv", ("part", "u"), "small"),
        node("Conv", ("made", "t"), "large"),
        node("Add", ("small", "large"), "seen"),
        start=[1],
        end=[4],
        axis=[1],
        u=(6, 3, 1, 1),
        t=(6, 6, 1, 1),
    )
    made = coupled(whole).groups[0]
    assert (made.root, made.subsets) == ("made", ((1, 2, 3),))


@pytest.mark.parametrize(("op", "axes"), [("LayerNormalization", 1), ("Softmax", 1)])
def test_a_norm_over_channels_makes_a_group_inexact(op, axes):
    operands = ("made", "s") if op == "LayerNormalization" else ("made",)
    whole = between(node(op, operands, "seen", axis=axes), s=(6, 8, 8))
    (group,) = coupled(whole).groups
    assert not group.exact
    assert ("s" in {held.tensor for held in group.slices}) == (op == "LayerNormalization")


def test_a_mean_over_channels_makes_a_group_inexact_and_one_over_positions_does_not():
    means = {
        "over channels": [1],
        "over positions": [2, 3],
    }
    exact = {
        name: coupled(
            between(
                node("ReduceMean", ("made", "axes"), "mean", keepdims=1),
                node("Sub", ("made", "mean"), "seen"),
                axes=axes,
            )
        )
        .groups[0]
        .exact
        for name, axes in means.items()
    }
    assert exact == {"over channels": False, "over positions": True}


def test_a_group_norm_has_sections_and_is_inexact():
    whole = between(
        node("GroupNormalization", ("made", "s", "t"), "seen", num_groups=3), s=(6,), t=(6,)
    )
    (group,) = coupled(whole).groups
    assert (group.num_channels, group.sections, group.exact) == (6, 3, False)


def test_an_instance_norm_is_exact():
    whole = between(node("InstanceNormalization", ("made", "s", "t"), "seen"), s=(6,), t=(6,))
    assert coupled(whole).groups[0].exact


def test_flattened_maps_leave_as_wholes():
    whole = graph(
        node("Conv", ("x", "w"), "made"),
        node("Flatten", ("made",), "flat"),
        node("Gemm", ("flat", "v"), "answer"),
        x=("N", 3, 2, 2),
        w=(6, 3, 1, 1),
        v=(24, 2),
    )
    assert channels_of(whole, "made")[1] == {("w", 0, 1), *(("v", 0, 4 + i) for i in range(4))}


def test_an_axis_that_is_split_loses_slabs_along_the_longest_part():
    whole = between(
        node("Reshape", ("made", "split"), "parted"),
        node("ReduceMax", ("parted", "axes"), "seen", keepdims=0),
        split=[0, 2, 3, 8, 8],
        axes=[1],
        v=(2, 3, 1, 1),
    )
    assert channels_of(whole, "made")[1] == {("w", 0, 1), ("w", 0, 4), ("v", 1, 1)}


def test_of_two_axes_that_are_merged_the_shorter_one_stays():
    whole = graph(
        node("MatMul", ("w", "x"), "rows"),
        node("MatMul", ("rows", "u"), "both"),
        node("Reshape", ("both", "flat"), "laid"),
        node("Gemm", ("laid", "v"), "answer"),
        x=("N", 4, 5),
        w=(6, 4),
        u=(5, 3),
        flat=[0, -1],
        v=(18, 2),
    )
    assert channels_of(whole, "rows")[1] == {("w", 0, 1), *(("v", 0, 3 + i) for i in range(3))}
    assert reason(whole, "both") == "Reshape laid merges them with others"


def test_padding_of_channels_may_leave_with_what_it_is_added_to():
    whole = graph(
        node("Conv", ("x", "w"), "made"),
        node("Pad", ("made", "pads"), "padded"),
        node("Conv", ("made", "w2"), "more"),
        node("Add", ("padded", "more"), "seen"),
        node("Conv", ("seen", "v"), "answer"),
        w=(6, 3, 1, 1),
        pads=[0, 1, 0, 0, 0, 2, 0, 0],
        w2=(9, 6, 1, 1),
        v=(2, 9, 1, 1),
    )
    assert sizes(whole) == {"made": 6, "more": 3}
    assert channels_of(whole, "made")[0] == {("w", 0, 0), ("w2", 1, 0), ("w2", 0, 1), ("v", 1, 1)}
    assert channels_of(whole, "more")[0] == {("w2", 0, 0), ("v", 1, 0)}


def test_chosen_channels_keep_their_owners():
    whole = between(
        node("Gather", ("made", "places"), "seen", axis=1), places=[5, 0, -2, 0], v=(2, 4, 1, 1)
    )
    assert channels_of(whole, "made")[0] == {("w", 0, 0), ("v", 1, 1), ("v", 1, 3)}
    assert channels_of(whole, "made")[3] == {("w", 0, 3)}


def test_one_channel_that_is_picked_stays():
    whole = between(
        node("Gather", ("made", "place"), "one", axis=1),
        node("Unsqueeze", ("one", "axes"), "lone"),
        node("Mul", ("made", "lone"), "seen"),
        place=2,
        axes=[1],
    )
    assert sizes(whole) == {"made": 5}
    assert coupled(whole).axes["w"][0].tolist() == [1, 2, 0, 3, 4, 5]


def test_a_table_of_words_loses_columns_and_keeps_its_rows():
    whole, shapes = network("text_cnn")
    groups = {group.root: group for group in couple(whole, shapes).groups}
    assert {root: one.num_channels for root, one in groups.items()} == {
        "table": 6,
        "two": 8,
        "three": 8,
    }
    name = next(one.inputs[0] for one in whole.nodes if one.op == "Gather")
    assert {(held.axis, held.part) for held in groups["table"].slices if held.tensor == name} == {
        (1, "filter")
    }


def test_channels_in_blocks_of_pixels_leave_together():
    whole = between(
        node("Conv", ("made", "u"), "wide"),
        node("DepthToSpace", ("wide",), "seen", blocksize=2, mode="DCR"),
        u=(8, 6, 1, 1),
        v=(2, 2, 1, 1),
    )
    assert channels_of(whole, "wide")[1] == {*(("u", 0, 1 + 2 * i) for i in range(4)), ("v", 1, 1)}
    back = between(node("SpaceToDepth", ("made",), "seen", blocksize=2), v=(2, 24, 1, 1))
    assert channels_of(back, "made")[1] == {("w", 0, 1), *(("v", 1, 1 + 6 * i) for i in range(4))}


def test_attention_loses_whole_heads():
    whole, shapes = network("vit")
    units = {group.unit: group for group in couple(whole, shapes).groups if group.unit == "head"}
    head = units["head"]
    assert (head.num_channels, head.exact) == (2, True)
    # 16 channels in two heads: queries, keys, values of one are 24 columns, read by 8 rows.
    counts = sorted(int((held.channel_S == 0).sum()) for held in head.slices)
    assert counts == [8, 24, 24]


def test_both_layers_of_an_encoder_lose_heads_of_their_own():
    whole, shapes = network("encoder")
    groups = couple(whole, shapes).groups
    assert [group.unit for group in groups].count("head") == 2


@pytest.mark.parametrize(("name", "gates"), [("lstm", 4), ("gru", 3)])
def test_hidden_units_own_rows_in_every_gate_of_both_directions(name, gates):
    whole, shapes = network(name)
    hidden = [group for group in couple(whole, shapes).groups if group.unit == "hidden"]
    assert [group.num_channels for group in hidden] == [8, 8]
    for group in hidden:
        assert group.exact
        (own,) = (one for one in group.slices if one.part == "reader" and len(one.slice_S) == 8)
        rows = [one for one in group.slices if one.part == "filter" and one.axis == 1]
        assert sorted(len(one.slice_S) for one in rows) == [8 * gates, 8 * gates, 16 * gates]
        assert own.axis == 2


@pytest.mark.parametrize(
    ("nodes", "tensors", "why"),
    [
        ((("CumSum", ("made", "along"), {}),), {"along": 1}, "CumSum seen cannot be followed"),
        (
            (("Slice", ("made", "start", "end", "along", "step"), {}),),
            {"start": [0], "end": [6], "along": [1], "step": [2], "v": (2, 3, 1, 1)},
            "Slice seen takes every 2th of them",
        ),
        (
            (("Pad", ("made", "pads"), {"mode": "reflect"}),),
            {"pads": [0, 1, 0, 0, 0, 1, 0, 0], "v": (2, 8, 1, 1)},
            "Pad seen repeats or cuts them by their place",
        ),
        ((("LRN", ("made",), {"size": 3}),), {}, "divides by the channels next to them"),
        (
            (
                ("Transpose", ("made",), {"perm": (0, 2, 1, 3)}),
                ("MaxPool", (), {"kernel_shape": (1, 1)}),
            ),
            {"v": (2, 8, 1, 1)},
            "the window of MaxPool seen slides over them",
        ),
        (
            (("Add", ("made", "x"), {}),),
            {"w": (3, 3, 1, 1), "v": (2, 3, 1, 1)},
            "joins them with what stays",
        ),
    ],
    ids=["unknown", "steps", "mirrored", "neighbours", "window", "input"],
)
def test_what_cannot_leave_says_why(nodes, tensors, why):
    made, before = [], "made"
    for number, (op, inputs, attributes) in enumerate(nodes, 1):
        output = "seen" if number == len(nodes) else f"step{number}"
        made.append(node(op, inputs or (before,), output, **attributes))
        before = output
    assert why in reason(between(*made, **tensors))


def test_a_reshape_to_a_computed_size_holds_what_goes_through():
    whole = between(
        node("Shape", ("made",), "sizes"),
        node("Mul", ("sizes", "ones"), "same"),
        node("Reshape", ("made", "same"), "seen"),
        ones=[1, 1, 1, 1],
    )
    assert "Reshape seen cannot be followed" in reason(whole)


def test_numbers_of_channels_follow_one_another_by_group():
    whole, shapes = network("residual")
    found = couple(whole, shapes)
    numbers = np.unique(np.concatenate([own for axes in found.axes.values() for own in axes]))
    assert numbers.tolist() == list(range(1 + sum(one.num_channels for one in found.groups)))
    assert list(found.starts) == [one.root for one in found.groups]


def test_a_place_that_no_channel_has_is_refused_with_the_node():
    whole = between(
        node("Gather", ("made", "places"), "seen", axis=1), places=[5, 6], v=(2, 2, 1, 1)
    )
    with pytest.raises(InvalidNetwork, match=r"Gather \(node 'seen'\) does not fit its inputs"):
        coupled(whole)


def test_an_axis_that_is_too_long_to_be_followed_is_refused():
    whole = graph(node("Relu", ("x",), "answer"), x=("N", 3))
    with pytest.raises(InvalidNetwork, match="has an axis of 33554432 values"):
        couple(whole, {"x": (2**25, 3), "answer": (2**25, 3)})


def test_more_values_than_can_be_followed_hold_what_is_laid_out():
    whole = graph(
        node("Conv", ("x", "w"), "made"),
        node("Reshape", ("made", "other"), "turned"),
        node("ReduceMax", ("turned", "along"), "answer", keepdims=0),
        x=("N", 3, 4, 4),
        w=(6, 3, 1, 1),
        other=[0, 4, 4, 6],
        along=[2, 3],
    )
    shapes = {"x": (1, 3, 4000, 4000), "made": (1, 6, 4000, 4000)}
    shapes |= {"turned": (1, 4000, 4000, 6), "answer": (1, 4000)}
    assert "lays out too many values" in couple(whole, shapes).fixed["made"]
