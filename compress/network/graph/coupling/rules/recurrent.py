"""Hidden units of LSTM, GRU and RNN: a unit owns a row in every gate, and a column that reads it.

Legend: D directions, G gates, H hidden units, I inputs, T steps, B sequences.
"""

from __future__ import annotations

import numpy as np

from compress.network.graph.coupling.axes import LabelledAxes, Part, still
from compress.network.graph.coupling.operands import operand
from compress.network.graph.coupling.rules.arrangement import unknown
from compress.network.graph.coupling.union_find import LabelArray
from compress.network.graph.values import Node

_INPUT, _RECURRENT, _BIAS, _STATE, _CELL, _PEEPHOLES = 1, 2, 3, 5, 6, 7


def recur(node: Node, labels: LabelledAxes) -> None:
    """Follow ``X (T, B, I)``, ``W (D, G H, I)``, ``R (D, G H, H)``, bias ``(D, 2 G H)``.

    States are ``(D, B, H)``. Unit ``h`` of both directions is one channel, for the output holds
    them along one axis.
    """
    if node.integer("layout", 0):
        unknown(node, labels)
        return
    steps, batch, inputs_I = labels.of(node.inputs[0])
    labels.hold([steps], f"{node.op} {node.name} goes along them")
    directions, gates_H, _ = labels.shape(node.inputs[_RECURRENT])
    hidden_H = labels.axis(node.inputs[_RECURRENT], 2, part="reader")
    labels.join(labels.axis(node.inputs[_INPUT], 2, part="reader"), inputs_I, node)
    gates = gates_H // len(hidden_H)
    for index, repeats in ((_INPUT, gates), (_RECURRENT, gates), (_BIAS, 2 * gates)):
        _own(node, labels, index, 1, np.tile(hidden_H, repeats), part="filter")
    _own(node, labels, _PEEPHOLES, 1, np.tile(hidden_H, 3), part="other")
    for state in (_STATE, _CELL):
        _own(node, labels, state, 2, hidden_H, part="other")
    labels.make(node, hidden_H, "hidden")
    sides = (still(directions), batch, hidden_H)
    labels.give(node, (steps, *sides))
    for output in (1, 2):
        labels.give(node, sides, output=output)


def _own(
    node: Node,
    labels: LabelledAxes,
    index: int,
    axis: int,
    expected: LabelArray,
    *,
    part: Part,
) -> None:
    """Join an axis of an operand, if there is one, with the units that own it."""
    if name := operand(node, index):
        labels.stay(name, *range(axis))
        labels.join(labels.axis(name, axis, part=part), expected, node)
