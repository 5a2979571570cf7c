"""A reshape, a transpose and a reshape that only reorder channels become one Gather."""

import numpy as np
import pytest

from compress.network.graph.coupling import shuffles
from tests.compress.network.graph.coupling.graphs import (
    bound,
    coupled,
    graph,
    network,
    node,
    runner,
    sizes,
)


def shuffled(*, split, order, back, w=(6, 3, 1, 1), x=("N", 3, 8, 8)):
    return graph(
        node("Conv", ("x", "w"), "made"),
        node("Reshape", ("made", "split"), "parted"),
        node("Transpose", ("parted",), "turned", perm=order),
        node("Reshape", ("turned", "back"), "mixed"),
        node("Conv", ("mixed", "v"), "answer"),
        x=x,
        w=w,
        v=(2, 6, 1, 1),
        split=split,
        back=back,
    )


def test_channels_are_dealt_out_as_the_three_nodes_did():
    whole = shuffled(split=[0, 2, 3, 8, 8], order=(0, 2, 1, 3, 4), back=[0, 6, 8, 8])
    shapes = bound(whole)
    plain, plain_shapes = shuffles.as_gathers(whole, shapes)
    assert [one.op for one in plain.nodes] == ["Conv", "Gather", "Conv"]
    assert plain.tensors["mixed:places"].tolist() == [0, 3, 1, 4, 2, 5]
    assert plain_shapes["mixed:places"] == (6,)
    run = runner(shapes)
    np.testing.assert_array_equal(run(plain)[0], run(whole)[0])


def test_every_channel_leaves_by_itself():
    whole = shuffled(split=[-1, 2, 3, 8, 8], order=(0, 2, 1, 3, 4), back=[-1, 6, 8, 8])
    assert sizes(whole) == {"made": 6}


def test_positions_of_one_row_may_be_shuffled_too():
    whole = shuffled(
        split=[0, 3, 2, 1, 8], order=(0, 2, 1, 3, 4), back=[0, 6, 1, 8], x=("N", 3, 1, 8)
    )
    plain, _ = shuffles.as_gathers(whole, bound(whole))
    assert [one.op for one in plain.nodes] == ["Conv", "Gather", "Conv"]


@pytest.mark.parametrize(
    ("split", "order", "back"),
    [
        ([0, 2, 3, 8, 8], (0, 2, 1, 4, 3), [0, 6, 8, 8]),
        ([0, 6, 4, 2, 8], (0, 2, 1, 3, 4), [0, 6, 8, 8]),
        ([0, -1, 3, 8, 8], (0, 2, 1, 3, 4), [0, 6, 8, 8]),
        ([2, 2, 3, 8, 8], (1, 0, 2, 3, 4), [2, 6, 8, 8]),
    ],
    ids=["positions turn too", "channels meet positions", "a computed size", "examples are mixed"],
)
def test_what_moves_more_than_channels_stays_what_it_is(split, order, back):
    whole = shuffled(split=split, order=order, back=back)
    shapes = bound(whole)
    plain, _ = shuffles.as_gathers(whole, shapes)
    assert plain is whole


def test_what_others_read_in_between_stays():
    whole = graph(
        node("Conv", ("x", "w"), "made"),
        node("Reshape", ("made", "split"), "parted"),
        node("Transpose", ("parted",), "turned", perm=(0, 2, 1, 3, 4)),
        node("Reshape", ("turned", "back"), "mixed"),
        node("ReduceMean", ("parted", "axes"), "mean", keepdims=0),
        node("ReduceMean", ("mixed", "places"), "other", keepdims=0),
        node("Concat", ("mean", "other"), "answer", axis=1),
        w=(6, 3, 1, 1),
        split=[0, 2, 3, 8, 8],
        back=[0, 6, 8, 8],
        axes=[2, 3, 4],
        places=[2, 3],
    )
    assert shuffles.as_gathers(whole, bound(whole))[0] is whole
    assert coupled(whole).groups == ()


def test_the_shuffle_of_an_exported_network_is_found():
    whole, shapes = network("shuffle")
    plain, _ = shuffles.as_gathers(whole, shapes)
    assert sum(one.op == "Gather" for one in plain.nodes) == 1
    assert not any(one.op == "Transpose" for one in plain.nodes)
