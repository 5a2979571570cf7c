"""A module is a model of the service after one call."""

import pytest
import torch
from torch.nn import functional

from compress.network.preprocessing import Normalisation
from featherweight.errors import UploadRefused
from featherweight.specs.states import ModelState
from featherweight.torch import add_model
from tests.featherweight.torch.test_exporting import IMAGES, Plain


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
