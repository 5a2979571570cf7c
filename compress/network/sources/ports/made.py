"""Inputs that no data has, for they follow from ids: the usual names of exported text networks.

Networks of Hugging Face take ``input_ids``, ``attention_mask`` (1 for a word, 0 for padding) and
``token_type_ids`` (0 for a word of the first sentence). Torch-free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from compress.network.graph.rewiring import free_name
from compress.network.graph.values import GraphPort, Node
from compress.network.signature import INPUT, Made

IDS = "input_ids"
RULES: Mapping[str, Made] = {"attention_mask": "mask", "token_type_ids": "zeros"}
"""What follows from ids, by the names of inputs."""
_WORDS: Mapping[Made, str] = {
    "mask": "1 where an id is not 0, which is padding",
    "zeros": "0 for every id",
}
_SEQUENCE = 2
ELEMENTS: Mapping[str, int] = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "int32": 6,
    "int64": 7,
    "bool": 9,
}
"""Numbers of element types in ONNX (onnx.proto, TensorProto.DataType)."""


def made(inputs: Sequence[GraphPort]) -> dict[str, Made]:
    """Return which inputs follow from the ids of another one, and how; by their names alone."""
    others = [port for port in inputs if port.name not in RULES]
    if [port.name for port in others] != [IDS]:
        return {}
    [ids] = others
    if len(ids.shape) != _SEQUENCE or ids.dtype.startswith("float"):
        return {}
    return {
        port.name: RULES[port.name]
        for port in inputs
        if port.name in RULES and len(port.shape) == _SEQUENCE
    }


def notes(found: Mapping[str, Made]) -> Iterator[str]:
    """Say of each such input what it is given."""
    for name, how in found.items():
        yield f"{name} is made of {IDS}: {_WORDS[how]}"


def nodes(port: GraphPort, how: Made, taken: set[str]) -> Iterator[Node]:
    """Compute the values of such an input from ``input``, which are ids in float32."""
    dtype = port.dtype
    if how == "mask":
        first = port.name if dtype == "bool" else free_name(f"{port.name}.is_word", taken)
        yield _cast(INPUT, first, "bool")
    else:
        first = port.name if dtype == "float32" else free_name(f"{port.name}.float", taken)
        yield Node(op="Sub", name=first, inputs=(INPUT, INPUT), outputs=(first,))
    taken.add(first)
    if first != port.name:
        yield _cast(first, port.name, dtype)


def _cast(source: str, target: str, dtype: str) -> Node:
    return Node(
        op="Cast",
        name=target,
        inputs=(source,),
        outputs=(target,),
        attributes={"to": ELEMENTS[dtype]},
    )
