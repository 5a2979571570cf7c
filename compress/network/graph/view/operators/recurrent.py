"""LSTM and GRU: the gates of ONNX in the order of torch, and back.

ONNX keeps ``W (D, gates H, I)``, ``R (D, gates H, H)`` and ``B (D, 2 gates H)`` with gates in the
order i, o, f, c and z, r, h; torch has i, f, g, o and r, z, n.

Legend: D directions, H hidden units, I inputs, L length, B batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from compress.network.graph.values import Array
from compress.network.graph.view.operators.site import Built, Site, unsupported

ORDER: Mapping[str, tuple[int, ...]] = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}
"""Which gate of ONNX is which of torch's, in torch's order."""
_ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}


class Recurrent(nn.Module):
    """One layer of torch's that takes and gives tensors as ONNX does: ``Y (L, D, B, H)``.

    ``batch_first`` is ONNX's ``layout`` 1. States that are left out are zeros.
    """

    def __init__(self, layer: nn.LSTM | nn.GRU, *, states: tuple[bool, ...]) -> None:
        super().__init__()
        self.layer = layer
        self.states = states

    def forward(self, x: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        """All hidden states, the last one, and an LSTM's last cell state."""
        first = self._first(x, given)
        answer, last = self.layer(x, first)
        directions = 2 if self.layer.bidirectional else 1
        every = answer.unflatten(2, (directions, -1)).transpose(1, 2)
        return (every, *last) if isinstance(last, tuple) else (every, last)

    def _first(self, x: Tensor, given: Sequence[Tensor]) -> Tensor | tuple[Tensor, Tensor] | None:
        if not given:
            return None
        found = iter(given)
        directions = 2 if self.layer.bidirectional else 1
        zeros = x.new_zeros(directions, x.shape[1], self.layer.hidden_size)
        states = [next(found) if has else zeros for has in self.states]
        return (states[0], states[1]) if isinstance(self.layer, nn.LSTM) else states[0]


def lstm(site: Site) -> Built:
    """A layer of long short-term memory; peepholes are refused."""
    if site.has(7) and np.any(site.static(7)):
        raise unsupported(site.node, "has peepholes")
    if site.attribute("input_forget", 0):
        raise unsupported(site.node, "couples its input and forget gates")
    return _recurrent(site, nn.LSTM)


def gru(site: Site) -> Built:
    """A layer of gated recurrent units, with the reset gate behind the product as torch has it."""
    if not site.attribute("linear_before_reset", 0):
        raise unsupported(site.node, "resets before it multiplies (linear_before_reset is 0)")
    return _recurrent(site, nn.GRU)


def _recurrent(site: Site, kind: type[nn.LSTM] | type[nn.GRU]) -> Built:
    weights, state_weights, biases = (site.static(place) for place in (1, 2, 3))
    if weights is None or state_weights is None:
        raise unsupported(site.node, "has no weights")
    _check(site)
    backwards = site.attribute("direction", "forward")
    hidden = state_weights.shape[2]
    layer = kind(
        weights.shape[2],
        hidden,
        bias=biases is not None,
        bidirectional=backwards == "bidirectional",
    )
    fill_(layer, site.node.op, weights, state_weights, biases)
    states = tuple(site.has(place) for place in ((5, 6) if kind is nn.LSTM else (5,)))
    reads = tuple(place for place, has in zip((5, 6), states, strict=False) if has)
    return Built(Recurrent(layer, states=states), reads=(0, *reads))


def _check(site: Site) -> None:
    usual = _ACTIVATIONS[site.node.op]
    named = tuple(site.attribute("activations", ()))
    if any(name not in usual or usual[i % len(usual)] != name for i, name in enumerate(named)):
        raise unsupported(site.node, f"has the activations {named}")
    if site.attribute("direction", "forward") == "reverse":
        raise unsupported(site.node, "runs backwards only")
    if site.attribute("clip", 0.0) or site.attribute("layout", 0):
        raise unsupported(site.node, "clips its gates, or has the batch first")
    lengths = site.constant(4)
    if site.has(4) and (lengths is None or np.unique(lengths).size > 1):
        raise unsupported(site.node, "has examples of different lengths")


@torch.no_grad()
def fill_(
    layer: nn.LSTM | nn.GRU,
    op: str,
    weights: Array,
    state_weights: Array,
    biases: Array | None,
) -> None:
    """Give a layer the weights of a node, gate by gate."""
    for direction, suffix in enumerate(suffixes(layer)):
        named = {
            f"weight_ih_l0{suffix}": weights[direction],
            f"weight_hh_l0{suffix}": state_weights[direction],
        }
        if biases is not None:
            half = biases.shape[1] // 2
            named[f"bias_ih_l0{suffix}"] = biases[direction, :half]
            named[f"bias_hh_l0{suffix}"] = biases[direction, half:]
        for name, values in named.items():
            gates = np.split(values, len(ORDER[op]))
            ordered = np.concatenate([gates[gate] for gate in ORDER[op]])
            layer.get_parameter(name).copy_(torch.from_numpy(np.ascontiguousarray(ordered)))


def tensors(layer: nn.LSTM | nn.GRU) -> tuple[Array, Array, Array | None]:
    """``W``, ``R`` and ``B`` of a layer as a node has them."""
    op = "LSTM" if isinstance(layer, nn.LSTM) else "GRU"
    found = [[_gates(layer, f"{kind}_l0{s}", op) for s in suffixes(layer)] for kind in _KINDS]
    weights, state_weights = np.stack(found[0]), np.stack(found[1])
    if not layer.bias:
        return weights, state_weights, None
    return weights, state_weights, np.concatenate([np.stack(found[2]), np.stack(found[3])], axis=1)


_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _gates(layer: nn.LSTM | nn.GRU, name: str, op: str) -> Array:
    if name.startswith("bias") and not layer.bias:
        return np.zeros(0, np.float32)
    gates = np.split(layer.get_parameter(name).detach().cpu().numpy(), len(ORDER[op]))
    back = np.argsort(ORDER[op])
    return np.concatenate([gates[gate] for gate in back])


def suffixes(layer: nn.LSTM | nn.GRU) -> tuple[str, ...]:
    """The ends of torch's names, one for every direction."""
    return ("", "_reverse") if layer.bidirectional else ("",)
