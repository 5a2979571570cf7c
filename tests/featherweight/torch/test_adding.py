"""A module is a model of the service after one call."""

import pytest
import torch
from torch.nn import functional

from compress.network.preprocessing import Normalisation
from compress.network.sources.onnx_info import OnnxInfo
from featherweight.errors import UploadRefused
from featherweight.specs.states import ModelState
from featherweight.torch import add_model
from tests.featherweight.torch.test_exporting import IDS, IMAGES, Plain, Pooled


def test_a_module_is_ready_after_one_call(client):
    pixels = Normalisation(scale=1 / 255, mean=(0.5,) * 3, std=(0.25,) * 3)
    found = add_model(client, Plain(), IMAGES, name="plain", normalisation=pixels)
    assert found.state == ModelState.READY
    assert client.model("plain").id == found.id


def test_a_module_that_the_service_cannot_use_is_refused_in_words(client):
    class Shifting(Plain):
        def forward(self, x):
            grid = torch.zeros(1, 16, 16, 2).expand(x.shape[0], -1, -1, -1)
            return super().forward(functional.grid_sample(x, grid, align_corners=False))

    with pytest.raises(UploadRefused, match="GridSample"):
        add_model(client, Shifting(), IMAGES, name="shifting")


def test_a_module_of_several_arguments_has_the_length_of_its_examples(client):
    given = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
    found = add_model(
        client, Pooled(), given, name="pooled", output=("scores", "count"), open_length=True
    )
    assert isinstance(found.info, OnnxInfo)
    assert (found.info.input_shape, found.info.num_classes) == ((6,), 4)
    assert [port.shape[1:] for port in found.info.inputs] == [("length",), ("length",)]
