"""Files with branches, loops and functions that cannot be taken apart. Made by code."""

from __future__ import annotations

from functools import partial

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node, make_opsetid, make_tensor_value_info

from tests.compress.network.graph import hostile
from tests.compress.network.graph.hostile import (
    FLOAT,
    INT64,
    ending,
    weight,
)

CONTROL_FLOW: hostile.Corpus = {}
refused = partial(hostile.refused, corpus=CONTROL_FLOW)


def branch(name, op):
    return helper.make_graph(
        [make_node(op, ["h"], [name])], name, [], [make_tensor_value_info(name, FLOAT, None)]
    )


@refused(r"If \(node 'choice'\) is still control flow.*export with the branch taken")
def a_branch_that_depends_on_values():
    nodes = [
        make_node("ReduceMax", ["h"], ["m"], keepdims=0),
        make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
        make_node(
            "If",
            ["c"],
            ["y"],
            "choice",
            then_branch=branch("a", "Relu"),
            else_branch=branch("b", "Neg"),
        ),
    ]
    return ending(*nodes)


@refused(r"If \(node 'outer'\) cannot be replaced by the branch that is taken")
def a_branch_in_a_branch():
    """The inner one is always taken, and answers what lies outside of both."""
    inside = helper.make_graph(
        [make_node("Identity", ["h"], ["i"])],
        "inside",
        [],
        [make_tensor_value_info("i", FLOAT, ["N", 3])],
    )
    same = helper.make_graph(
        [make_node("Identity", ["h"], ["j"])],
        "same",
        [],
        [make_tensor_value_info("j", FLOAT, ["N", 3])],
    )
    inner = make_node("If", ["yes"], ["o"], "inner", then_branch=inside, else_branch=same)
    outer = helper.make_graph([inner], "outer", [], [make_tensor_value_info("o", FLOAT, ["N", 3])])
    nodes = [
        make_node("ReduceMax", ["h"], ["m"], keepdims=0),
        make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
        make_node("If", ["c"], ["y"], "outer", then_branch=outer, else_branch=branch("b", "Neg")),
    ]
    return ending(*nodes, tensors=[weight("yes", value=True, dtype=np.bool_)])


@refused(r"Loop \(node 'again'\) is control flow: export with the loop unrolled")
def a_loop():
    bool_type, i64 = TensorProto.BOOL, INT64
    body = helper.make_graph(
        [make_node("Identity", ["go"], ["on"]), make_node("Relu", ["v"], ["w2"])],
        "body",
        [
            make_tensor_value_info("i", i64, []),
            make_tensor_value_info("go", bool_type, []),
            make_tensor_value_info("v", FLOAT, ["N", 3]),
        ],
        [
            make_tensor_value_info("on", bool_type, []),
            make_tensor_value_info("w2", FLOAT, ["N", 3]),
        ],
    )
    return ending(
        make_node("Loop", ["times", "", "h"], ["y"], name="again", body=body),
        tensors=[numpy_helper.from_array(np.array(4), "times")],
    )


@refused(r"Scan \(node 'scan'\) is control flow")
def a_scan():
    body = helper.make_graph(
        [make_node("Relu", ["v"], ["o"])],
        "body",
        [make_tensor_value_info("v", FLOAT, [3])],
        [make_tensor_value_info("o", FLOAT, [3])],
    )
    return ending(make_node("Scan", ["h"], ["y"], name="scan", body=body, num_scan_inputs=1))


def calling(name, *inner):
    return helper.make_function(
        "own", name, ["a"], ["b"], list(inner), [make_opsetid("", 17), make_opsetid("own", 1)]
    )


@refused("function 'f' calls itself|function 'g' calls itself")
def functions_that_recurse():
    functions = [
        calling("f", make_node("g", ["a"], ["b"], domain="own")),
        calling("g", make_node("f", ["a"], ["b"], domain="own")),
    ]
    node = make_node("f", ["h"], ["y"], domain="own")
    return ending(node, imports=[make_opsetid("own", 1)], functions=functions)
