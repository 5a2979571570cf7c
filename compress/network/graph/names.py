"""What the layers of a graph are called, wherever it is described, changed or run.

An exporter of torch keeps the names of the weights, so they come first; a name that it invents
(``onnx::Conv_123``) says nothing, but the node's own does then. Torch-free.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from compress.network.graph.values import Graph, Node

_WEIGHT = ".weight"
RESERVED = frozenset(
    [
        "T_destination",
        "add_module",
        "apply",
        "bfloat16",
        "buffers",
        "call_super_init",
        "children",
        "compile",
        "cpu",
        "cuda",
        "double",
        "dump_patches",
        "eval",
        "extra_repr",
        "float",
        "forward",
        "get_buffer",
        "get_extra_state",
        "get_parameter",
        "get_submodule",
        "half",
        "ipu",
        "load_state_dict",
        "modules",
        "mtia",
        "named_buffers",
        "named_children",
        "named_modules",
        "named_parameters",
        "parameters",
        "register_backward_hook",
        "register_buffer",
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
        "register_load_state_dict_post_hook",
        "register_load_state_dict_pre_hook",
        "register_module",
        "register_parameter",
        "register_state_dict_post_hook",
        "register_state_dict_pre_hook",
        "requires_grad_",
        "set_extra_state",
        "set_submodule",
        "share_memory",
        "state_dict",
        "to",
        "to_empty",
        "train",
        "training",
        "type",
        "xpu",
        "zero_grad",
    ]
)
"""Attributes of every torch module: no part of one can go by such a name, or by a private one."""


def layer_names(graph: Graph, known: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """Return a dotted name for every node, by the name of the node.

    The name is that of a constant that ends in ``.weight``, else the node's, else the operator
    with a number. No two are equal, none lies inside another, and every part of one may be the
    name of a torch module. Nodes whose names are ``known`` keep them.
    """
    counted = Counter[str]()
    taken = _Taken()
    found = {n.name: taken.take(known[n.name]) for n in graph.nodes if known and n.name in known}
    for node, wanted in _by_weight(graph):
        if node.name not in found:
            found[node.name] = taken.take(wanted)
    for node in graph.nodes:
        counted[node.op] += 1
        if node.name not in found:
            wanted = _dotted(node.name) or f"{node.op}_{counted[node.op]}"
            found[node.name] = taken.take(wanted)
    return {node.name: found[node.name] for node in graph.nodes}


def _by_weight(graph: Graph) -> Iterator[tuple[Node, str]]:
    for node in graph.nodes:
        weights = (name for name in node.inputs if name in graph.tensors)
        named = (_dotted(name.removesuffix(_WEIGHT)) for name in weights if name.endswith(_WEIGHT))
        wanted = next((name for name in named if name), None)
        if wanted is not None:
            yield node, wanted


def _dotted(name: str) -> str:
    parts = (re.sub(r"\W", "_", part, flags=re.ASCII) for part in re.split(r"[./]+", name))
    parts = (part.lstrip("_") for part in parts)
    return ".".join(f"{part}_" if part in RESERVED else part for part in parts if part)


class _Taken:
    """The names given away so far, and those of everything that holds one of them."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._holders: set[str] = set()

    def take(self, wanted: str) -> str:
        """Give away the name, with a number if it or one of its holders is another's."""
        if self._names.intersection(_holders(wanted)):
            wanted = wanted.replace(".", "_")
        name, number = wanted, 1
        while name in self._names or name in self._holders:
            name, number = f"{wanted}_{number}", number + 1
        self._names.add(name)
        self._holders.update(_holders(name))
        return name


def _holders(name: str) -> list[str]:
    """Return every beginning of a dotted name that ends before a dot, shortest first."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]
