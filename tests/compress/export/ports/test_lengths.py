"""Sizes that ports leave open stay open, and padding is looked at in every file of ids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import ModelProto

from compress.export import writer
from compress.export.ports import lengths
from compress.network.sources import onnx, onnx_inspection
from compress.network.sources.onnx_info import InspectedNetwork
from compress.network.sources.ports import padding
from compress.techniques.mirroring.config import THE_IMAGE
from compress.values.errors import ExportParityError
from tests.compress.export.ports.port_networks import CASES, examples, exported, network_of
from tests.compress.onnx_networks import IMAGES
from tests.compress.onnx_networks import exported as other_networks

CHANGES = "answers change with padding"


def file_of(network):
    graph = writer.Shipping.of(network, {}).in_float()
    return writer._file_form(graph, THE_IMAGE, network.signature)


def warnings_of(content, **given):
    found = onnx_inspection.verdict(content, **given).found
    assert isinstance(found, InspectedNetwork), found
    return found.info.warnings


def checked(name):
    network, x = network_of(name), examples(name, 12)
    model = file_of(network)
    found = lengths.check(model, network, x)
    return found + lengths.check_padding(model, network, x, in_float=model)


@pytest.mark.parametrize("name", ["pair", "encoder", "tagger", "detector", "mixed", "pixels"])
def test_a_file_answers_at_another_size_and_whatever_the_padding(name):
    assert checked(name) == ()
    assert warnings_of(exported(name), input_shape=CASES[name].input_shape) == ()


def test_a_network_that_reads_its_padding_is_told_so_and_so_are_its_files():
    [warning] = warnings_of(exported("unmasked"), input_shape=(9,))
    [note] = checked("unmasked")
    assert warning.startswith(CHANGES)
    assert note.startswith(CHANGES)
    # The backward direction of a recurrent layer begins with the padding.
    [warning] = warnings_of(other_networks("gru"), input_shape=(9,))
    assert warning.startswith(CHANGES)


def test_a_file_that_reads_padding_though_its_network_did_not_is_refused():
    network, x = network_of("pair"), examples("pair", 12)
    model = file_of(network)
    broken = ModelProto()
    broken.CopyFrom(model)
    for node in broken.graph.node:
        if node.op_type == "Equal":
            node.op_type = "Less"  # no place is padding any more
    with pytest.raises(ExportParityError, match="of the network by"):
        lengths.check_padding(broken, network, x, in_float=model)


def test_a_file_that_answers_otherwise_at_another_size_is_refused():
    network, x = network_of("unmasked"), examples("unmasked", 4)
    other = ModelProto()
    other.CopyFrom(file_of(network))
    [mean] = [node for node in other.graph.node if node.op_type == "ReduceMean"]
    mean.op_type = "ReduceMax"
    with pytest.raises(ExportParityError, match="on examples of 5, which the ports allow"):
        lengths.check(other, network, x)


def test_a_network_that_runs_at_one_size_only_is_said_to():
    network = onnx.load(other_networks("vit"), input_shape=IMAGES, num_classes=5)
    [port] = network.signature.inputs
    opened = port.model_copy(update={"dynamic": (0, 2, 3), "axes": ("N", "H", "W")})
    ports = network.signature.model_copy(update={"inputs": (opened,)})
    network = replace(network, ports=ports)
    [note] = lengths.check(file_of(network), network, torch.rand(3, *IMAGES))
    assert note == "its ports leave sizes open, but it runs only on examples of 3x16x16"


def test_rows_without_padding_are_cut():
    x = np.ones((5, 2, 8), np.float32)
    found = padding.rows(x)
    assert padding.lengths(found).tolist() == [4, 6]
    assert padding.rows(found).shape == (2, 2, 8)
    empty = np.zeros((1, 4), np.float32)
    assert padding.lengths(empty).tolist() == [1]


def test_answers_to_words_alone_are_compared():
    """Answers to padding may be whatever they are."""
    x = np.asarray([[1, 2, 0, 0], [1, 2, 3, 4]], np.float32)
    assert padding.change(lambda some: [some[..., None] * 2], x) == 0
    assert padding.change(lambda some: [some.sum(-1, keepdims=True)], x) == 0
    found = padding.change(lambda some: [some + some.shape[-1]], x)
    assert found == pytest.approx(2 / (x + 4).std())
