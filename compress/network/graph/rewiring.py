"""Graphs with nodes taken out or renamed: the steps that normalising is made of. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from compress.network.graph.values import Graph, Node


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """The node with the tensors that it reads and makes under other names."""
    return replace(
        node,
        inputs=tuple(names.get(name, name) for name in node.inputs),
        outputs=tuple(names.get(name, name) for name in node.outputs),
    )


def without_identities(graph: Graph, is_identity: Callable[[Node], bool]) -> Graph:
    """Leave out nodes whose first output is their first input.

    A node that only carries an input or a constant to an output stays, as Identity.
    """
    outputs = {port.name for port in graph.outputs}
    makers = {name: node for node in graph.nodes for name in node.outputs if name}
    names: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        source = names.get(node.inputs[0], node.inputs[0]) if node.inputs else ""
        if not is_identity(node):
            nodes.append(node)
        elif node.output not in outputs:
            names[node.output] = source
        elif source in makers and source not in outputs:
            names[source] = node.output
            outputs.add(source)
        else:
            nodes.append(replace(node, op="Identity", inputs=(source,), attributes={}))
    final = {name: _last(name, names) for name in names}
    return without_dead_code(replace(graph, nodes=tuple(renamed(n, final) for n in nodes)))


def _last(name: str, names: Mapping[str, str]) -> str:
    while name in names:
        name = names[name]
    return name


def without_dead_code(graph: Graph) -> Graph:
    """Leave out nodes and constants that no output depends on."""
    wanted = {port.name for port in graph.outputs}
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            nodes.append(node)
    return replace(
        graph,
        nodes=tuple(reversed(nodes)),
        tensors={name: tensor for name, tensor in graph.tensors.items() if name in wanted},
    )


def free_name(wanted: str, taken: Collection[str]) -> str:
    """The name itself, or the first of ``name_1``, ``name_2`` that is free."""
    number, name = 0, wanted
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def names_of(graph: Graph) -> set[str]:
    """Every name of a tensor in the graph."""
    made = {name for node in graph.nodes for name in node.outputs}
    return {port.name for port in graph.inputs} | set(graph.tensors) | made
