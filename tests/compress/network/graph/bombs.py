"""Small files that would take much memory or time if they were believed. Made by code."""

from __future__ import annotations

from functools import partial

from onnx import TensorProto
from onnx.helper import make_node, make_opsetid

from tests.compress.network.graph import hostile
from tests.compress.network.graph.control_flow import calling
from tests.compress.network.graph.hostile import INT64, ending, integers, weight

BOMBS: hostile.Corpus = {}
refused = partial(hostile.refused, corpus=BOMBS)


@refused(r"operators, at most 10000 are read")
def functions_that_double():
    """Thirty functions, each of which calls the one before twice."""
    functions = [calling("f0", make_node("Relu", ["a"], ["b"]))]
    for level in range(1, 31):
        inner = f"f{level - 1}"
        calls = [
            make_node(inner, ["a"], ["c"], domain="own"),
            make_node(inner, ["c"], ["b"], domain="own"),
        ]
        functions.append(calling(f"f{level}", *calls))
    node = make_node("f30", ["h"], ["y"], domain="own")
    return ending(node, imports=[make_opsetid("own", 1)], functions=functions)


@refused(r"ConstantOfShape \(node 'big'\) makes a constant of 144000000 elements")
def a_constant_of_two_gigabytes():
    return ending(
        make_node("ConstantOfShape", ["huge"], ["c"], name="big"),
        make_node("ReduceSum", ["c"], ["s"], keepdims=0),
        make_node("Add", ["h", "s"], ["y"]),
        tensors=[integers("huge", 12000, 12000)],
    )


@refused(r"Expand \(node 'wide'\) makes a constant of")
def an_expanded_constant():
    return ending(
        make_node("Expand", ["one", "huge"], ["c"], name="wide"),
        make_node("ReduceSum", ["c"], ["s"], keepdims=0),
        make_node("Add", ["h", "s"], ["y"]),
        tensors=[integers("huge", 2**20, 2**20), weight("one", 1)],
    )


@refused(r"Tile \(node 'tiles'\) makes a constant of")
def a_tiled_constant():
    return ending(
        make_node("Tile", ["one", "huge"], ["c"], name="tiles"),
        make_node("ReduceSum", ["c"], ["s"], keepdims=0),
        make_node("Add", ["h", "s"], ["y"]),
        tensors=[integers("huge", 2**30), weight("one", 1)],
    )


@refused(r"Add \(node 'outer'\) makes a constant of")
def an_outer_sum_of_constants():
    return ending(
        make_node("Add", ["row", "column"], ["c"], name="outer"),
        make_node("ReduceSum", ["c"], ["s"], keepdims=0),
        make_node("Add", ["h", "s"], ["y"]),
        tensors=[weight("row", 1, 20_000), weight("column", 20_000, 1)],
    )


@refused(r"in all: store it as a weight")
def many_constants_of_64_megabytes():
    nodes, last = [], "h"
    for number in range(200):
        nodes += [
            make_node("ConstantOfShape", ["huge"], [f"c{number}"], name=f"c{number}"),
            make_node("ReduceSum", [f"c{number}"], [f"s{number}"], keepdims=0),
            make_node("Add", [last, f"s{number}"], [f"h{number}"]),
        ]
        last = f"h{number}"
    nodes.append(make_node("Relu", [last], ["y"]))
    return ending(*nodes, tensors=[integers("huge", 4000, 4000)])


@refused("more than 1000000 fields")
def a_file_of_empty_nodes():
    body = b"\x0a\x00" * 8_000_000
    length = bytes((len(body) >> shift & 0x7F) | 0x80 for shift in (0, 7, 14)) + bytes(
        [len(body) >> 21]
    )
    return b"\x3a" + length + body


@refused("packed numbers take more than")
def packed_integers():
    tensor = TensorProto(name="w", data_type=INT64, dims=[80_000_000])
    tensor.int64_data.extend([])
    packed = b"\x3a" + varint(80_000_000) + bytes(80_000_000)
    inner = tensor.SerializeToString() + packed
    graph = b"\x2a" + varint(len(inner)) + inner
    return b"\x3a" + varint(len(graph)) + graph


@refused("deeper than 40")
def nested_graphs():
    body = b""
    for _ in range(60):
        attribute = b"\x32" + varint(len(body)) + body
        node = b"\x2a" + varint(len(attribute)) + attribute
        body = b"\x0a" + varint(len(node)) + node
    return b"\x3a" + varint(len(body)) + body


def varint(value):
    made = b""
    while value > 0x7F:
        made += bytes([(value & 0x7F) | 0x80])
        value >>= 7
    return made + bytes([value])
