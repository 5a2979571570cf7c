"""Without channels a graph answers as with zeros in their readers, and its shapes are known."""

import numpy as np
import pytest

from compress.export import counting as of_file
from compress.network.graph.counting import count
from compress.network.graph.coupling import proof
from compress.network.graph.coupling.couplings import couple
from compress.network.graph.coupling.removal import narrowed, remove, zeroed
from compress.network.graph.shapes import bind
from compress.network.graph.write import write
from compress.values.errors import InvalidCandidate
from tests.compress.network.graph.coupling.graphs import bound, graph, network, node, runner
from tests.compress.onnx_networks import NETWORKS


def sizes_of(whole, shapes):
    """The sizes of the free axes behind these shapes."""
    return {
        axis: shapes[port.name][place]
        for port in whole.inputs
        for place, axis in enumerate(port.shape)
        if isinstance(axis, str)
    }


def check(whole, shapes, gone, *, words=None):
    """The answers without channels are those of deaf readers; shapes are what is inferred."""
    couplings = couple(whole, shapes)
    run = runner(shapes, words=words)
    smaller, new = remove(whole, shapes, couplings, gone)
    for ours, theirs in zip(run(smaller), run(zeroed(whole, couplings, gone)), strict=True):
        assert np.abs(ours - theirs).max() <= 1e-5 * max(np.abs(theirs).max(), 1e-6)
    inferred = bind(smaller, sizes_of(whole, shapes))
    named = {name: shape for name, shape in inferred.items() if name}
    assert {name: new[name] for name in named} == named
    return smaller


def num_values(whole):
    return sum(constant.size for constant in whole.tensors.values())


def exact_draw(couplings, seed):
    exact = {group.root for group in couplings.groups if group.exact}
    drawn = proof.draw(couplings, np.random.default_rng(seed))
    return {root: channels for root, channels in drawn.items() if root in exact}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"two_answers"}))
@pytest.mark.cross("name", "seed")
def test_channels_of_every_network_leave(name, seed):
    whole, shapes = network(name)
    gone = exact_draw(couple(whole, shapes), seed)
    smaller = check(whole, shapes, gone, words=NETWORKS[name].words)
    assert num_values(smaller) < num_values(whole)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.cross("name", "seed")
def test_a_candidate_is_counted_before_it_is_built(name, seed):
    whole, shapes = network(name)
    couplings = couple(whole, shapes)
    gone = proof.draw(couplings, np.random.default_rng(seed), share=0.5 + 0.2 * seed)
    counted = count(whole, narrowed(whole, shapes, couplings, gone))
    built = count(*remove(whole, shapes, couplings, gone))
    assert (counted.parameters, counted.weights, counted.macs) == (
        built.parameters,
        built.weights,
        built.macs,
    )
    assert counted.macs < count(whole, shapes).macs
    if not NETWORKS[name].free:
        smaller, _ = remove(whole, shapes, couplings, gone)
        file = of_file.count(write(smaller))
        assert (counted.weights, counted.macs) == (file.parameters, 2 * file.macs)


@pytest.mark.parametrize("name", ["two_answers", "vit"])
def test_inexact_groups_leave_too(name):
    whole, shapes = network(name)
    couplings = couple(whole, shapes)
    gone = proof.draw(couplings, np.random.default_rng(0))
    assert not all(group.exact for group in couplings.groups)
    smaller, _ = remove(whole, shapes, couplings, gone)
    assert num_values(smaller) < num_values(whole)
    assert [one.shape for one in runner(shapes)(smaller)] == [
        shapes[port.name] for port in whole.outputs
    ]


@pytest.mark.parametrize("name", ["cnn", "depthwise", "shuffle", "vit", "lstm"])
def test_a_smaller_network_takes_any_batch(name):
    whole, shapes = network(name)
    smaller, _ = remove(whole, shapes, *drawn(whole, shapes))
    sizes = sizes_of(whole, shapes) | {"N": 5}
    larger = bind(smaller, sizes)
    for ours in runner(larger, words=NETWORKS[name].words)(smaller):
        assert len(ours) == 5


def drawn(whole, shapes):
    couplings = couple(whole, shapes)
    return couplings, exact_draw(couplings, 0)


def between(*nodes, **tensors):
    first, last = node("Conv", ("x", "w"), "made"), node("Conv", ("seen", "v"), "answer")
    shapes = {"w": (6, 3, 1, 1), "v": (2, 6, 1, 1), **tensors}
    return graph(first, *nodes, last, **shapes)


MENDED = {
    "depthwise": between(
        node("Conv", ("made", "d"), "seen", group=6, kernel_shape=(1, 1)), d=(6, 1, 1, 1)
    ),
    "depthwise transposed with a multiplier": between(
        node("ConvTranspose", ("made", "d"), "seen", group=6), d=(6, 2, 1, 1), v=(2, 12, 1, 1)
    ),
    "reshape": between(
        node("Reshape", ("made", "flat"), "rows"),
        node("Relu", ("rows",), "live"),
        node("Reshape", ("live", "maps"), "seen"),
        flat=[0, 6, 64],
        maps=[-1, 6, 8, 8],
    ),
    "expand": between(
        node("GlobalAveragePool", ("made",), "mean"),
        node("Expand", ("mean", "to"), "wide"),
        node("Mul", ("made", "wide"), "seen"),
        to=[1, 6, 8, 8],
    ),
    "expand to channels": between(
        node("ReduceMean", ("x", "all"), "mean", keepdims=1),
        node("Expand", ("mean", "to"), "wide"),
        node("Mul", ("made", "wide"), "seen"),
        all=[1],
        to=[1, 6, 8, 8],
    ),
    "split by sizes": between(
        node("Split", ("made", "parts"), ("left", "right"), axis=1),
        node("Concat", ("right", "left"), "seen", axis=1),
        parts=[2, 4],
    ),
    "split in equal parts": between(
        node("Split", ("made",), ("a", "b", "c"), axis=1, num_outputs=3),
        node("Concat", ("c", "a", "b"), "seen", axis=-3),
    ),
    "slice": between(
        node("Slice", ("made", "from", "to", "along"), "seen"),
        **{"from": [-4], "to": [2**40], "along": [-3]},
        v=(2, 4, 1, 1),
    ),
    "pad": between(
        node("Pad", ("made", "pads"), "padded"),
        node("Conv", ("made", "u"), "more"),
        node("Add", ("padded", "more"), "seen"),
        pads=[0, 1, 0, 0, 0, 2, 0, 0],
        u=(9, 6, 1, 1),
        v=(2, 9, 1, 1),
    ),
    "pad along an axis": between(
        node("Pad", ("made", "pads", "", "along"), "seen"),
        pads=[1, 2],
        along=[-3],
        v=(2, 9, 1, 1),
    ),
    "gather": between(
        node("Gather", ("made", "places"), "seen", axis=1), places=[5, 0, -2, 0], v=(2, 4, 1, 1)
    ),
    "gather of one": between(
        node("Gather", ("made", "place"), "one", axis=1),
        node("Unsqueeze", ("one", "along"), "lone"),
        node("Mul", ("made", "lone"), "seen"),
        place=-2,
        along=[1],
    ),
    "resize to sizes": between(
        node("Resize", ("made", "", "", "to"), "seen", mode="nearest"), to=[2, 6, 16, 16]
    ),
    "resize of some axes": between(
        node("Resize", ("made", "", "", "to"), "seen", mode="linear", axes=(1, 2)), to=[6, 4]
    ),
    "tile": between(node("Tile", ("made", "times"), "seen"), times=[1, 2, 1, 1], v=(2, 12, 1, 1)),
    "computed batch": between(
        node("Shape", ("x",), "size", start=0, end=1),
        node("Concat", ("size", "rest"), "to", axis=0),
        node("Reshape", ("made", "to"), "rows"),
        node("Concat", ("size", "maps"), "back", axis=0),
        node("Reshape", ("rows", "back"), "seen"),
        rest=[6, 64],
        maps=[6, 8, 8],
    ),
    "several nodes read one constant": between(
        node("Reshape", ("made", "flat"), "rows"),
        node("Reshape", ("x", "flat"), "others"),
        node("ReduceSum", ("others", "along"), "sum", keepdims=0),
        node("Reshape", ("rows", "maps"), "back"),
        node("Unsqueeze", ("sum", "ends"), "lone"),
        node("Mul", ("back", "lone"), "seen"),
        flat=[0, 6, -1],
        maps=[0, -1, 8, 8],
        along=[1, 2],
        ends=[1, 2, 3],
    ),
}


@pytest.mark.parametrize("name", MENDED)
def test_numbers_in_nodes_are_mended(name):
    whole = MENDED[name]
    shapes = bound(whole)
    couplings = couple(whole, shapes)
    assert "made" in {group.root for group in couplings.groups}
    for seed in range(3):
        check(whole, shapes, exact_draw(couplings, seed))


def test_the_number_of_hidden_units_is_mended():
    whole, shapes = network("lstm")
    smaller, _ = remove(whole, shapes, *drawn(whole, shapes))
    assert [one.attributes["hidden_size"] for one in smaller.nodes if one.op == "LSTM"] == [5, 5]


def test_nothing_changes_if_nothing_leaves():
    whole, shapes = network("residual")
    couplings = couple(whole, shapes)
    assert remove(whole, shapes, couplings, {"stem.0": ()}) == (whole, shapes)


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ({"nobody": [0]}, "no group of channels has the root 'nobody'"),
        ({"made": [6]}, "made has the channels 0 to 5, not 6"),
        ({"made": [-1]}, "made has the channels 0 to 5, not -1"),
        ({"made": [0]}, "must leave all 2 sections alike"),
        ({"made": range(6)}, "nothing would be left along an axis of"),
    ],
)
def test_what_cannot_leave_is_refused(gone, words):
    whole = between(node("Conv", ("made", "g"), "seen", group=2), g=(6, 3, 1, 1))
    shapes = bound(whole)
    with pytest.raises(InvalidCandidate, match=words):
        remove(whole, shapes, couple(whole, shapes), gone)


def test_the_graph_that_is_handed_in_stays_as_it_is():
    whole = MENDED["pad"]
    before = {name: value.copy() for name, value in whole.tensors.items()}
    shapes = bound(whole)
    remove(whole, shapes, *drawn(whole, shapes))
    for name, value in whole.tensors.items():
        np.testing.assert_array_equal(value, before[name])
