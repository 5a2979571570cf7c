"""What training and techniques have made of a torch view is a graph again, and a file."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from compress.network.graph.read import read
from compress.network.graph.view.absorbing import absorb
from compress.network.graph.write import write
from compress.values.errors import InvalidNetwork
from tests.compress.network.graph.view.views import (
    ALL,
    answers,
    answers_of_file,
    assert_alike,
    bound,
    node,
    rows,
    view_of,
    viewed,
)
from tests.compress.onnx_networks import example, exported


def written(module):
    """The file of a module, checked."""
    model = write(absorb(module, module.program))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def assert_file_is_right(module, name):
    for batch in (1, 3):
        given = example(name, batch, seed=1)
        assert_alike(answers_of_file(written(module), given), answers(module, given))


@pytest.mark.parametrize("name", ALL)
def test_a_trained_network_is_written_as_it_answers(name):
    module = view_of(exported(name), name)
    before = answers(module, example(name, 3, seed=1))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1 + 0.1 * torch.rand(parameter.shape, generator=generator))
    assert any(
        np.abs(a - b).max() > 1e-3
        for a, b in zip(before, answers(module, example(name, 3, seed=1)), strict=True)
    )
    assert_file_is_right(module, name)


@pytest.mark.parametrize("name", ALL)
def test_an_unchanged_network_keeps_ports_names_and_metadata(name):
    graph = replace(read(exported(name)), metadata={"author": "someone"})
    module = bound(graph, name)
    found = absorb(module, module.program)
    assert (found.inputs, found.outputs, found.metadata) == (
        graph.inputs,
        graph.outputs,
        graph.metadata,
    )
    assert [(n.op, n.name) for n in found.nodes] == [(n.op, n.name) for n in graph.nodes]
    assert set(found.tensors) == {t for n in graph.nodes for t in n.inputs} & set(graph.tensors)


def test_narrower_layers_are_written_with_their_own_sizes():
    module = view_of(exported("depthwise"), "depthwise")
    squeeze, excite = module.get_submodule("squeeze"), module.get_submodule("excite")
    keep = torch.arange(3)
    squeeze.weight = nn.Parameter(squeeze.weight[keep].clone())
    squeeze.bias = nn.Parameter(squeeze.bias[keep].clone())
    excite.weight = nn.Parameter(excite.weight[:, keep].clone())
    assert_file_is_right(module, "depthwise")
    assert absorb(module, module.program).tensors["squeeze.weight"].shape == (3, 16, 1, 1)


def test_channels_may_leave_a_layer_in_front_of_a_reshape():
    module = view_of(exported("cnn"), "cnn")
    conv, norm, head = (module.get_submodule(name) for name in ("second", "second_norm", "head"))
    conv.weight, conv.bias = (nn.Parameter(t[:5].clone()) for t in (conv.weight, conv.bias))
    for name in ("weight", "bias"):
        setattr(norm, name, nn.Parameter(norm.get_parameter(name)[:5].clone()))
    for name in ("running_mean", "running_var"):
        setattr(norm, name, norm.get_buffer(name)[:5].clone())
    head.weight = nn.Parameter(head.weight[:, : 5 * 49].clone())
    assert_file_is_right(module, "cnn")


def test_layers_in_a_row_stand_where_one_stood():
    module = view_of(exported("residual"), "residual")
    module.set_submodule(
        "one.0",
        nn.Sequential(
            nn.Conv2d(8, 4, (3, 1), (2, 1), (1, 0), bias=False),
            nn.Conv2d(4, 12, (1, 3), (1, 2), (0, 1)),
        ),
    )
    module.set_submodule("head", nn.Sequential(nn.Linear(12, 3, bias=False), nn.Linear(3, 5)))
    assert_file_is_right(module, "residual")
    kinds = [n.op for n in absorb(module, module.program).nodes]
    # A layer without a bias only multiplies, as torch's exporter says it.
    assert [kinds.count(op) for op in ("Conv", "MatMul", "Gemm")] == [5, 1, 1]


def test_a_row_behind_uneven_padding_pads_first():
    graph = read(exported("residual"))
    uneven = {"pads": (0, 1, 2, 1)}
    nodes = [
        replace(n, attributes={**n.attributes, **uneven})
        if n.inputs[1:2] == ("stem.0.weight",)
        else n
        for n in graph.nodes
    ]
    module = bound(replace(graph, nodes=tuple(nodes)), "residual")
    assert isinstance(module.get_submodule("stem.0"), nn.Conv2d)
    assert_file_is_right(module, "residual")
    assert absorb(module, module.program).nodes[0].attributes["pads"] == (0, 1, 2, 1)
    module.set_submodule(
        "stem.0", nn.Sequential(nn.Conv2d(3, 2, (3, 1), bias=False), nn.Conv2d(2, 8, (1, 3)))
    )
    assert_file_is_right(module, "residual")


def test_a_product_of_rows_gets_its_bias_as_a_sum():
    module = view_of(exported("vit"), "vit")
    [name] = [
        n
        for n, part in module.named_modules()
        if n.startswith("wide") and isinstance(part, nn.Linear)
    ]
    old = module.get_submodule(name)
    module.set_submodule(name, nn.Sequential(nn.Linear(16, 4, bias=False), nn.Linear(4, 24)))
    assert isinstance(old, nn.Linear)
    assert_file_is_right(module, "vit")


def test_a_folded_norm_leaves_and_the_layer_before_it_has_a_bias():
    module = view_of(exported("residual"), "residual")
    module.get_submodule("stem.0").bias = nn.Parameter(torch.rand(8))
    module.set_submodule("stem.1", nn.Identity())
    assert_file_is_right(module, "residual")
    assert [n.op for n in absorb(module, module.program).nodes].count("BatchNormalization") == 2


def test_a_norm_that_gives_the_answer_leaves_an_identity():
    graph = rows(
        node("BatchNormalization", ("x", "a", "b", "c", "d"), "y"),
        **{name: [1, 2, 3, 4] for name in "abcd"},
    )
    module = viewed(graph)
    module.set_submodule(module.program.calls[0].layer, nn.Identity())
    assert [n.op for n in absorb(module, module.program).nodes] == ["Identity"]


def test_tensors_that_were_one_and_have_parted_are_two():
    graph = rows(
        node("MatMul", ("x", "w"), "a"),
        replace(node("MatMul", ("a", "w"), "y"), name="again"),
        w=np.eye(4),
    )
    module = viewed(graph)
    first, second = (module.get_submodule(call.layer) for call in module.program.calls)
    assert set(absorb(module, module.program).tensors) == {"w"}
    second.weight = nn.Parameter(first.weight * 2)
    found = absorb(module, module.program)
    assert len(found.tensors) == 2
    given = {"x": np.ones((2, 4), np.float32)}
    assert_alike(answers_of_file(written(module), given), answers(module, given))


def test_a_layer_that_no_node_computes_is_refused():
    module = view_of(exported("cnn"), "cnn")
    module.set_submodule("head", nn.Bilinear(2, 2, 5))
    with pytest.raises(InvalidNetwork, match=r"has become a Bilinear"):
        absorb(module, module.program)
