"""Find the tables of a graph whose rows are picked by ids of the input.

Legend: V words, E numbers of a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from compress.network.graph.coupling.operands import makers
from compress.network.graph.values import Graph, Node

_MATRIX = 2
_CARRYING = frozenset(
    {
        "Cast",
        "Flatten",
        "Gather",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators that hand ids on as they are."""


@dataclass(frozen=True, kw_only=True)
class WordTable:
    """A constant ``(V, E)`` of which nodes pick rows by ids.

    ``tensor`` is its name in the graph, ``readers`` are the Gathers that read it.
    """

    tensor: str
    num_words: int
    readers: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class FoundTables:
    """Tables of words, in the order in which they are read; why other tables stay, by tensor."""

    tables: tuple[WordTable, ...]
    staying: Mapping[str, str]


def find(graph: Graph) -> FoundTables:
    """Find the tables of a graph, those that cannot lose words among them."""
    made_by = makers(graph)
    inputs = {port.name for port in graph.inputs}
    tables: list[WordTable] = []
    staying: dict[str, str] = {}
    for name, readers in _picked(graph).items():
        every = [node for node in graph.nodes if name in node.inputs]
        if len(every) > len(readers):
            staying[name] = "it is also the weight of another layer"
        elif not all(_is_of_input(node.inputs[1], made_by, inputs) for node in readers):
            staying[name] = "its rows are not picked by ids of the input"
        else:
            words = len(graph.tensors[name])
            tables.append(WordTable(tensor=name, num_words=words, readers=tuple(readers)))
    return FoundTables(tables=tuple(tables), staying=staying)


def same(table: WordTable, graph: Graph) -> WordTable:
    """Return the table as it is in a graph whose other tables have changed."""
    return next(each for each in find(graph).tables if each.tensor == table.tensor)


def _picked(graph: Graph) -> dict[str, list[Node]]:
    """Return the Gathers that pick rows of a constant matrix of floats in every run, by matrix."""
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        table = graph.tensors.get(node.inputs[0]) if node.op == "Gather" else None
        if table is None or node.integer("axis", 0) or node.inputs[1] in graph.tensors:
            continue
        if table.ndim == _MATRIX and table.dtype == np.float32:
            found.setdefault(node.inputs[0], []).append(node)
    return found


def _is_of_input(name: str, made_by: Mapping[str, Node], inputs: set[str]) -> bool:
    """Whether a tensor holds nothing but values of the input."""
    while name not in inputs:
        node = made_by.get(name)
        if node is None or node.op not in _CARRYING:
            return False
        name = node.inputs[0]
    return True
