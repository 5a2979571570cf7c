"""Layers are called by their weights, else by their nodes, and every name can be a module's."""

import numpy as np
import pytest
from torch import nn

from compress.network.graph import names
from compress.network.graph.values import Graph, Node


def graph(*nodes: Node, weights: tuple[str, ...] = ()) -> Graph:
    tensors = {name: np.ones(1, np.float32) for name in weights}
    return Graph(inputs=(), outputs=(), nodes=nodes, tensors=tensors)


def node(name: str, *inputs: str, op: str = "Conv") -> Node:
    return Node(op=op, name=name, inputs=("x", *inputs), outputs=(f"{name}_out",))


def test_a_layer_is_called_like_its_weight_and_what_has_none_like_its_node():
    found = names.layer_names(
        graph(
            node("node_conv2d_1", "features.0.conv.weight", "features.0.conv.bias"),
            node("/features/0/relu/Relu", op="Relu"),
            node("/classifier/Gemm", "onnx::Gemm_12", op="Gemm"),
            weights=("features.0.conv.weight", "features.0.conv.bias", "onnx::Gemm_12"),
        )
    )
    assert list(found.values()) == ["features.0.conv", "features.0.relu.Relu", "classifier.Gemm"]
    assert next(iter(found)) == "node_conv2d_1"


def test_a_nameless_weight_and_node_are_called_by_operator_and_number():
    found = names.layer_names(
        graph(node("a"), node("///", ".weight"), node("...", op="Gemm"), weights=(".weight",))
    )
    assert list(found.values()) == ["a", "Conv_2", "Gemm_1"]


def test_a_weight_of_two_layers_names_the_first_and_numbers_the_second():
    found = names.layer_names(
        graph(
            node("first", "fc.weight"), node("fc"), node("n", "fc.weight"), weights=("fc.weight",)
        )
    )
    assert found == {"first": "fc", "n": "fc_1", "fc": "fc_2"}


@pytest.mark.parametrize("wanted", ["a/b", "a.b", "/a//b/", "a..b"])
def test_slashes_and_dots_are_levels(wanted):
    assert names.layer_names(graph(node(wanted))) == {wanted: "a.b"}


def test_no_layer_lies_inside_another():
    found = names.layer_names(
        graph(node("a"), node("a.b"), node("c.d.e"), node("c.d"), node("c"), node("a_b"))
    )
    assert list(found.values()) == ["a", "a_b", "c.d.e", "c.d_1", "c_1", "a_b_1"]


def test_every_name_can_be_given_to_a_module():
    hostile = [
        "type",
        "x.training.forward",
        "naïve name:0",
        "onnx::Conv_1",
        "1",
        "parameters",
        "-",
        "_buffers",
        "__class__",
    ]
    found = names.layer_names(graph(*(node(name) for name in hostile)))
    root = nn.Module()
    for name in found.values():
        holder = root
        *path, last = name.split(".")
        for part in path:
            if part not in dict(holder.named_children()):
                holder.add_module(part, nn.Module())
            holder = holder.get_submodule(part)
        holder.add_module(last, nn.Identity())
    assert {n for n, part in root.named_modules() if isinstance(part, nn.Identity)} == set(
        found.values()
    )


def test_the_reserved_names_are_all_that_a_module_has():
    public = {name for name in dir(nn.Module()) if not name.startswith("_")}
    assert public <= names.RESERVED
