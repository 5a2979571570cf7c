"""Attributes and constant operands of a node, as plain numbers. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compress.network.graph.values import Array, Graph, Node


def numbers(node: Node, name: str) -> tuple[int, ...] | None:
    """Return an attribute that is a list of whole numbers, None if it is left out."""
    value = node.attributes.get(name)
    if value is None:
        return None
    return tuple(int(one) for one in np.asarray(value).ravel())


def operand(node: Node, index: int) -> str:
    """Return the name of an input, the empty one if it is left out."""
    return node.inputs[index] if index < len(node.inputs) else ""


def integers(constant: Array | None) -> tuple[int, ...] | None:
    """Return the whole numbers of a constant operand, None if it is no constant."""
    return None if constant is None else tuple(int(one) for one in constant.ravel())


def makers(graph: Graph) -> dict[str, Node]:
    """Return the node that makes each computed tensor."""
    return {name: node for node in graph.nodes for name in node.outputs if name}


def entries(
    name: str, tensors: Mapping[str, Array], made_by: Mapping[str, Node]
) -> list[int | None] | None:
    """Return the entries of a target of sizes, None for each that is computed.

    It is a constant, or a Concat of constants and of single computed entries; None for any other.
    """
    whole = integers(tensors.get(name))
    if whole is not None:
        return list(whole)
    maker = made_by.get(name)
    if maker is None or maker.op != "Concat":
        return None
    found: list[int | None] = []
    for part in maker.inputs:
        constant = integers(tensors.get(part))
        found.extend((None,) if constant is None else constant)
    return found
