"""Views of layers of imported networks: matrices, and the inputs that they are multiplied with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from compress.network.graph.view.operators.embedding import EmbeddingTable
from compress.network.graph.view.operators.recurrent import Recurrent
from compress.network.graph.view.operators.transposed import Sliding, TransposedConvolution, turned
from compress.network.running.weight_views import view_of

TORCHS = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
TRANSPOSED = {
    "plain": {"axes": 2},
    "one axis": {"axes": 1, "stride": 2},
    "three axes": {"axes": 3, "stride": 2, "padding": 1},
    "grouped": {"axes": 2, "groups": 2, "dilation": 2},
    "several of each": {"axes": 2, "groups": 4, "stride": 3},
    "one of each": {"axes": 2, "groups": 4, "outputs": 4, "padding": 1},
    "more at the end": {"axes": 2, "stride": 2, "padding": 1, "more": 1},
}


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def transposed(*, axes, outputs=8, groups=1, stride=1, dilation=1, padding=0, more=0):
    """Torch's own layer, and ours with the same weights."""
    theirs = TORCHS[axes](4, outputs, 3, stride, padding, more, groups=groups, dilation=dilation)
    assert theirs.bias is not None
    ours = TransposedConvolution(
        turned(theirs.weight.detach(), groups).contiguous(),
        theirs.bias.detach(),
        Sliding(
            strides=(stride,) * axes,
            dilations=(dilation,) * axes,
            before=(padding,) * axes,
            after=(padding,) * axes,
            more=(more,) * axes,
        ),
        groups=groups,
    )
    return theirs, ours, drawn(2, 4, *(5, 6, 4)[:axes])


def product(layer, x_SNK):
    """The layer as a product of matrices, group by group, without its bias ``(N, O)``."""
    weight_SOK = view_of(layer).matrix(layer.weight).unflatten(0, (len(x_SNK), -1))
    return (x_SNK @ weight_SOK.mT).permute(1, 0, 2).flatten(1)


@pytest.mark.parametrize("kind", TRANSPOSED)
def test_a_transposed_convolution_is_that_of_torch_and_a_product(kind):
    theirs, ours, x = transposed(**TRANSPOSED[kind])
    torch.testing.assert_close(ours(x), theirs(x))
    view = view_of(ours)
    rows_NO = view.rows(ours(x))
    torch.testing.assert_close(product(ours, view.columns(ours, x)) + ours.bias, rows_NO)
    assert view.sizes(ours) == (4, len(ours.weight)) == (theirs.in_channels, theirs.out_channels)
    assert view.is_normalised(ours, ours(x))
    assert torch.equal(turned(turned(ours.weight, ours.groups), ours.groups), ours.weight)


@pytest.mark.parametrize("kind", TRANSPOSED)
def test_its_mean_squares_are_those_of_its_columns(kind):
    _, ours, x = transposed(**TRANSPOSED[kind])
    view = view_of(ours)
    found = view.mean_squares(ours, x)
    assert found.shape == (ours.groups, *ours.weight.shape[1:])
    expected_SK = view.columns(ours, x).square().mean(1)
    torch.testing.assert_close(found.flatten(1), expected_SK)
    some_SNK = view.columns(ours, x, most=7)
    every_SNK = view.columns(ours, x)
    places = torch.linspace(0, every_SNK.shape[1] - 1, 7).long()
    assert torch.equal(some_SNK, every_SNK[:, places])


def test_it_loses_unevenly_at_its_ends():
    _, ours, x = transposed(axes=2, stride=2)
    whole = ours(x)
    ours.sliding = replace(ours.sliding, before=(0, 1), after=(1, 0))
    assert torch.equal(ours(x), whole[:, :, :-1, 1:])
    view = view_of(ours)
    rows_NO = view.rows(ours(x))
    torch.testing.assert_close(product(ours, view.columns(ours, x)) + ours.bias, rows_NO)


RECURRENT = {
    "lstm": ("LSTM", 4, 1, False),
    "lstm both ways from a state": ("LSTM", 4, 2, True),
    "gru both ways": ("GRU", 3, 2, False),
    "gru from a state": ("GRU", 3, 1, True),
}
LENGTH, BATCH, INPUTS, HIDDEN = 7, 3, 6, 5


def recurrent(kind):
    """A layer of that kind, and what it is given."""
    name, gates, directions, has_state = RECURRENT[kind]
    weight = drawn(directions * gates * HIDDEN, INPUTS + HIDDEN) * 0.4
    biases = drawn(directions * 2 * gates * HIDDEN)
    states = (has_state, False) if name == "LSTM" else (has_state,)
    layer = Recurrent(name, weight, biases, directions=directions, states=states)
    x = drawn(LENGTH, BATCH, INPUTS)
    return layer, (x, drawn(directions, BATCH, HIDDEN)) if has_state else x


def gated(layer, columns_DNK):
    """The hidden states that follow from the columns, as the specification of ONNX computes them.

    The cell states of an LSTM are followed from step to step.
    """
    directions, gates = layer.directions, {"LSTM": 4, "GRU": 3}[layer.kind]
    weight = layer.weight.unflatten(0, (directions, gates * HIDDEN))
    biases = layer.biases.unflatten(0, (directions, 2, gates * HIDDEN))
    x, h = columns_DNK.unflatten(1, (LENGTH, BATCH)).split([INPUTS, HIDDEN], 3)
    found = torch.zeros(LENGTH, directions, BATCH, HIDDEN)
    for direction in range(directions):
        (of_x, of_h), (first, second) = (
            weight[direction].split([INPUTS, HIDDEN], 1),
            biases[direction],
        )
        cell = torch.zeros(BATCH, HIDDEN)
        for step in range(LENGTH) if direction == 0 else reversed(range(LENGTH)):
            left = (x[direction, step] @ of_x.T + first).chunk(gates, 1)
            right = (h[direction, step] @ of_h.T + second).chunk(gates, 1)
            if layer.kind == "LSTM":
                i, o, f, c = (one + other for one, other in zip(left, right, strict=True))
                cell = f.sigmoid() * cell + i.sigmoid() * c.tanh()
                found[step, direction] = o.sigmoid() * cell.tanh()
            else:
                z, r = ((left[gate] + right[gate]).sigmoid() for gate in (0, 1))
                new = (left[2] + r * right[2]).tanh()
                found[step, direction] = (1 - z) * new + z * h[direction, step]
    return found


@pytest.mark.parametrize("kind", RECURRENT)
@torch.no_grad()
def test_the_gates_read_the_columns_and_make_the_states(kind):
    layer, given = recurrent(kind)
    view = view_of(layer)
    every = layer(*given)[0] if isinstance(given, tuple) else layer(given)[0]
    columns_DNK = view.columns(layer, given)
    assert columns_DNK.shape == (layer.directions, LENGTH * BATCH, INPUTS + HIDDEN)
    torch.testing.assert_close(gated(layer, columns_DNK), every)
    some = view.columns(layer, given, most=4)
    places = torch.linspace(0, LENGTH * BATCH - 1, 4).long()
    assert torch.equal(some, columns_DNK[:, places])
    assert view.groups(layer) == layer.directions
    assert (view.sizes(layer), view.positions(layer, given, every)) == (
        (INPUTS, HIDDEN),
        LENGTH * BATCH,
    )
    assert view.matrix(layer.weight).shape == layer.weight.shape
    moment, number = view.moments(layer, given, most=1000)
    torch.testing.assert_close(moment, columns_DNK.mT @ columns_DNK)
    assert number == LENGTH * BATCH
    torch.testing.assert_close(view.mean_squares(layer, given), columns_DNK.square().mean(1))


def test_gates_are_no_outputs_and_no_group_holds_inputs_and_states():
    layer, x = recurrent("lstm")
    view = view_of(layer)
    assert not view.is_affine
    assert not view.is_normalised(layer, layer(x)[0])
    assert view.run_length(layer) == 1
    even = Recurrent("GRU", drawn(36, 20), None, directions=1, states=(False,))
    assert view.run_length(even) == 4


def test_an_embedding_is_a_product_with_words():
    table = EmbeddingTable(drawn(4, 9))
    words = torch.tensor([[1, 8, 1], [0, 1, 3]])
    view, answer = view_of(table), table(words)
    assert torch.equal(answer[0, 1], table.weight[:, 8])
    x_1NK = view.columns(table, words)
    torch.testing.assert_close(product(table, x_1NK), view.rows(answer))
    assert torch.equal(view.columns(table, words, most=2), x_1NK[:, [0, 5]])
    torch.testing.assert_close(view.mean_squares(table, words), x_1NK.square().mean(1))
    diagonal, number = view.moments(table, words, most=2)
    torch.testing.assert_close(diagonal[0].diag(), (x_1NK.mT @ x_1NK)[0])
    assert (number, view.positions(table, words, answer), view.sizes(table)) == (6, 0, (9, 4))
    assert not view.is_affine
    assert not view.is_normalised(table, answer)
    answer.sum().backward()
    assert table.weight.grad is not None
    assert table.weight.grad[0].tolist() == [1, 3, 0, 1, 0, 0, 0, 0, 1]
