"""A graph runs and trains in torch, with parameters that are named as its layers are."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from compress.network.graph import roles
from compress.network.graph.names import layer_names
from compress.network.graph.read import read
from compress.network.graph.view.module import GraphModule
from compress.network.graph.view.operators import functions
from compress.network.graph.view.operators.embedding import EmbeddingTable
from compress.network.graph.view.operators.layers import LAYERS
from compress.network.graph.view.operators.recurrent import Recurrent
from compress.network.graph.view.operators.site import Operator
from compress.network.graph.view.operators.transposed import TransposedConvolution
from compress.values.errors import InvalidNetwork
from tests.compress.network.graph.view.views import (
    ALL,
    answers,
    answers_of_file,
    assert_alike,
    node,
    rows,
    view_of,
    viewed,
)
from tests.compress.onnx_networks import example, exported


@pytest.mark.parametrize("name", ALL)
def test_a_network_answers_as_its_file_and_every_parameter_learns(name):
    data = exported(name)
    module = view_of(data, name)
    for batch in (1, 3):
        given = example(name, batch)
        assert_alike(answers(module, given), answers_of_file(data, given))
    given = torch.from_numpy(example(name, 2)["input"])
    found = module.train()(given)
    sum(each.square().sum() for each in (found if isinstance(found, tuple) else [found])).backward()
    silent = [name for name, parameter in module.named_parameters() if parameter.grad is None]
    assert silent == []


def test_what_an_inspection_lets_through_is_what_the_view_computes():
    assert roles.OPERATORS & {*LAYERS, *functions.OPERATORS} == roles.COMPUTED


def test_layers_have_torch_classes_and_the_names_of_their_weights():
    module = view_of(exported("cnn"), "cnn")
    assert isinstance(module.get_submodule("first"), nn.Conv2d)
    assert isinstance(module.get_submodule("first_norm"), nn.BatchNorm2d)
    assert isinstance(module.get_submodule("head"), nn.Linear)
    assert {name for name, _ in module.named_parameters()} == {
        f"{layer}.{tensor}"
        for layer in ("first", "first_norm", "second", "second_norm", "head")
        for tensor in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("unet", {TransposedConvolution, nn.MaxPool2d}),
        ("lstm", {EmbeddingTable, Recurrent}),
        ("gru", {Recurrent}),
        ("text_cnn", {nn.Conv1d, EmbeddingTable}),
        ("vit", {nn.LayerNorm, nn.Linear}),
        ("two_answers", {nn.InstanceNorm1d, nn.PReLU}),
    ],
)
def test_weights_of_other_kinds_are_layers_too(name, kinds):
    assert kinds <= {type(part) for part in view_of(exported(name), name).modules()}


def test_free_parameters_learn_and_sizes_do_not():
    module = view_of(exported("vit"), "vit")
    free = {
        name: tuple(parameter.shape)
        for name, parameter in module.named_parameters()
        if isinstance(module.get_submodule(name.rpartition(".")[0]), Operator)
    }
    assert (1, 17, 16) in free.values()
    assert all(parameter.is_floating_point() for parameter in module.parameters())


def test_a_copy_shares_the_graph_and_no_parameter():
    module = view_of(exported("residual"), "residual")
    twin = copy.deepcopy(module)
    assert twin.program is module.program
    given = example("residual")
    before = answers(module, given)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0)
    assert_alike(answers(module, given), before)
    assert np.abs(answers(twin, given)[0] - before[0]).max() > 0.1


def test_a_tensor_of_two_nodes_is_one_parameter_in_every_copy():
    graph = rows(
        node("MatMul", ("x", "w"), "a"), replace(node("MatMul", ("a", "w"), "b"), name="again"),
        w=np.random.default_rng(0).standard_normal((4, 4)),
    )  # fmt: skip
    module = copy.deepcopy(viewed(graph))
    first, second = (module.get_submodule(name) for name in layer_names(graph).values())
    assert first.weight is second.weight
    assert len(list(module.parameters())) == 1


def test_constants_before_the_first_layer_and_masks_are_no_parameters():
    graph = rows(
        node("Sub", ("x", "mean"), "centred"),
        node("MatMul", ("centred", "w"), "product"),
        node("Add", ("product", "shift"), "shifted"),
        node("Mul", ("shifted", "half"), "halved"),
        replace(node("Add", ("halved", "mask"), "y"), name="the mask"),
        mean=[1, 2, 3, 4], w=np.eye(4), shift=[1, 1, 1, 1], half=0.5, mask=[0, 0, -1e9, 0],
    )  # fmt: skip
    module = viewed(graph)
    assert [tuple(parameter.shape) for parameter in module.parameters()] == [(4, 4), (4,)]
    assert len(list(module.buffers())) == 3


def test_tensors_are_let_go_once_nobody_reads_them():
    module = view_of(exported("cnn"), "cnn")
    made = [name for call in module.program.calls for name in call.node.outputs]
    freed = [name for call in module.program.calls for name in call.frees]
    assert sorted(freed) == sorted({*made, "input"} - {"answer"})


def test_a_network_with_two_inputs_takes_them_in_order():
    graph = rows(node("Sub", ("x", "other"), "y"))
    graph = replace(graph, inputs=(*graph.inputs, replace(graph.inputs[0], name="other")))
    one, two = torch.full((2, 4), 3.0), torch.full((2, 4), 1.0)
    assert (viewed(graph)((one, two)) == 2).all()


def test_an_unknown_operator_is_refused_when_the_module_is_made():
    with pytest.raises(InvalidNetwork, match=r"NonZero \(the NonZero\) is an operator that cannot"):
        GraphModule(rows(node("NonZero", ("x",), "y")), {"x": (2, 4)})


def test_a_reshape_to_a_number_of_channels_holds_for_fewer():
    data = exported("cnn")
    module = view_of(data, "cnn")
    graph = read(data)
    [reshape] = [call for call in module.program.calls if call.node.op in ("Reshape", "Flatten")]
    assert reshape.statics in ({}, {1: (0, -1)})
    assert graph.nodes == module.program.graph.nodes
