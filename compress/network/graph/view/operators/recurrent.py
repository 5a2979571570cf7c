"""LSTM and GRU: one matrix of weights as ONNX stacks its gates, and torch's own kernels.

ONNX keeps ``W (D, G H, I)``, ``R (D, G H, H)`` and ``B (D, 2 G H)`` with gates in the order
i, o, f, c and z, r, h; torch has i, f, g, o and r, z, n. The rows of all gates and directions make
one matrix, for they multiply one vector: the input of a step and the state before it.

Legend: D directions, G gates, H hidden units, I inputs, L length, B batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from compress.network.graph.values import Array
from compress.network.graph.view.operators.site import Built, Site, unsupported

Kind = Literal["LSTM", "GRU"]
ORDER: Mapping[Kind, tuple[int, ...]] = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}
"""Which gate of ONNX is which of torch's, in torch's order."""
_ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}


class Recurrent(nn.Module):
    """A layer that takes and gives tensors as ONNX does: ``X (L, B, I)``, ``Y (L, D, B, H)``.

    ``weight (D G H, I + H)`` is ``W`` beside ``R``, a row for every unit of every gate, and
    ``biases (2 D G H,)`` are ``B``; both sizes are those of one direction. States that are left out
    are zeros. If it ``has_lengths``, they come after ``X``: behind the end of an example its output
    is zero, and backwards it begins there.
    """

    weight: Tensor
    biases: nn.Parameter | None

    def __init__(
        self,
        kind: Kind,
        weight: Tensor,
        biases: Tensor | None,
        *,
        directions: int,
        states: tuple[bool, ...],
        has_lengths: bool = False,
    ) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.weight = nn.Parameter(weight)
        self.register_parameter("biases", None if biases is None else nn.Parameter(biases))
        # What is added to a gate is not added to the output: there is no bias to correct.
        self.bias: nn.Parameter | None = None
        self.directions = directions
        self.states = states
        self.has_lengths = has_lengths
        self.hidden_size = len(weight) // (directions * len(ORDER[kind]))
        self.input_size = weight.shape[1] - self.hidden_size

    def forward(self, x: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        """All hidden states, the last one, and an LSTM's last cell state."""
        first = self.first_states(x, given)
        with warnings.catch_warnings():
            # cuDNN would rather have them in one piece, which no weight under a constraint is.
            warnings.filterwarnings("ignore", message="RNN module weights")
            if self.has_lengths:
                answer, *last = self._run_packed(x, given[0], first)
            else:
                answer, *last = self._run(x, first)
        every = answer.unflatten(2, (self.directions, -1)).transpose(1, 2)
        return (every, *last)

    def _run(self, x: Tensor, first: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        how = (self._per_direction(), self.biases is not None, 1, 0.0, self.training)
        both = self.directions == 2
        if self.kind == "LSTM":
            return torch.lstm(x, first, *how, both, False)
        return torch.gru(x, first[0], *how, both, False)

    def _run_packed(
        self, x: Tensor, lengths_B: Tensor, first: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Run every example as far as it goes, the longest first."""
        packed = pack_padded_sequence(x, lengths_B.cpu(), enforce_sorted=False)
        order_B, back_B = packed.sorted_indices, packed.unsorted_indices
        assert order_B is not None
        assert back_B is not None
        first = tuple(state.index_select(1, order_B) for state in first)
        how = (self._per_direction(), self.biases is not None, 1, 0.0, self.training)
        both = self.directions == 2
        if self.kind == "LSTM":
            data, *last = torch.lstm(packed.data, packed.batch_sizes, first, *how, both)
        else:
            data, *last = torch.gru(packed.data, packed.batch_sizes, first[0], *how, both)
        answer, _ = pad_packed_sequence(
            PackedSequence(data, packed.batch_sizes, order_B, back_B), total_length=len(x)
        )
        return (answer, *(state.index_select(1, back_B) for state in last))

    def first_states(self, x: Tensor, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The states ``(D, B, H)`` before the first step: hidden, and of an LSTM the cells'.

        ``given`` is all that ``forward`` is given behind ``x``.
        """
        found = iter(given[1:] if self.has_lengths else given)
        zeros = x.new_zeros(self.directions, x.shape[1], self.hidden_size)
        return tuple(next(found) if has else zeros for has in self.states)

    def _per_direction(self) -> list[Tensor]:
        """The weights and biases of every direction, in torch's order of gates."""
        sizes, order = (self.directions, len(ORDER[self.kind]), -1), list(ORDER[self.kind])
        rows = self.weight.unflatten(0, sizes)[:, order].flatten(1, 2)
        parts = [part.contiguous() for part in rows.split([self.input_size, self.hidden_size], 2)]
        if self.biases is not None:
            biases = self.biases.unflatten(0, (self.directions, 2, *sizes[1:]))[:, :, order]
            parts += biases.flatten(2).unbind(1)
        return [part[direction] for direction in range(self.directions) for part in parts]


def lstm(site: Site) -> Built:
    """A layer of long short-term memory; peepholes are refused."""
    if site.has(7) and np.any(site.static(7)):
        raise unsupported(site.node, "has peepholes")
    if site.attribute("input_forget", 0):
        raise unsupported(site.node, "couples its input and forget gates")
    return _recurrent(site, "LSTM", places=(5, 6))


def gru(site: Site) -> Built:
    """A layer of gated recurrent units, with the reset gate behind the product as torch has it."""
    if not site.attribute("linear_before_reset", 0):
        raise unsupported(site.node, "resets before it multiplies (linear_before_reset is 0)")
    return _recurrent(site, "GRU", places=(5,))


def _recurrent(site: Site, kind: Kind, *, places: tuple[int, ...]) -> Built:
    weights, state_weights, biases = (site.static(place) for place in (1, 2, 3))
    if weights is None or state_weights is None:
        raise unsupported(site.node, "has no weights")
    _check(site, kind)
    stacked = np.concatenate([weights, state_weights], axis=2)
    layer = Recurrent(
        kind,
        torch.from_numpy(stacked.reshape(-1, stacked.shape[2])),
        None if biases is None else torch.from_numpy(np.array(biases.reshape(-1))),
        directions=len(weights),
        states=tuple(site.has(place) for place in places),
        has_lengths=_has_lengths(site),
    )
    given = (*((4,) if layer.has_lengths else ()), *places)
    return Built(layer, reads=(0, *(place for place in given if site.has(place))))


def _check(site: Site, kind: Kind) -> None:
    usual = _ACTIVATIONS[kind]
    named = tuple(site.attribute("activations", ()))
    if any(name not in usual or usual[i % len(usual)] != name for i, name in enumerate(named)):
        raise unsupported(site.node, f"has the activations {named}")
    if site.attribute("direction", "forward") == "reverse":
        raise unsupported(site.node, "runs backwards only")
    if site.attribute("clip", 0.0) or site.attribute("layout", 0):
        raise unsupported(site.node, "clips its gates, or has the batch first")
    lengths = site.constant(4)
    if lengths is not None and np.unique(lengths).size > 1:
        raise unsupported(site.node, "has examples of different lengths that are constants")


def _has_lengths(site: Site) -> bool:
    """Whether it computes in every run how long the examples are."""
    return site.has(4) and site.constant(4) is None


def tensors(layer: Recurrent) -> tuple[Array, Array, Array | None]:
    """``W``, ``R`` and ``B`` of a layer as a node has them."""
    stacked = layer.weight.detach().cpu().unflatten(0, (layer.directions, -1))
    weights, state_weights = (
        np.ascontiguousarray(part.numpy())
        for part in stacked.split([layer.input_size, layer.hidden_size], 2)
    )
    if layer.biases is None:
        return weights, state_weights, None
    biases = layer.biases.detach().cpu().unflatten(0, (layer.directions, -1))
    return weights, state_weights, biases.numpy().copy()
