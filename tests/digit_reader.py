"""A small network of no family that reads digits: trained by plain torch, written as ONNX."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.tasks.images import ImageData

PORTS = ("pixels", "scores")
METADATA = {"made by": "somebody"}


class Reader(nn.Module):
    """Reads digits of raw values 0 to 16."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.second, self.second_norm = nn.Conv2d(12, 24, 3, 2, 1), nn.BatchNorm2d(24)
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.first_norm(self.first(x / 16)))
        x = functional.relu(self.second_norm(self.second(x)))
        return self.head(x.mean((2, 3)))


def write(path: Path, images: ImageData) -> Path:
    """Train it for some epochs and write its file, with an open batch and metadata."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            _trained(images).eval(),
            (images.train.x_NCHW[:2].float(),),
            buffer,
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            opset_version=17,
            input_names=[PORTS[0]],
            output_names=[PORTS[1]],
            dynamic_axes={port: {0: "batch"} for port in PORTS},
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, METADATA)
    path.write_bytes(model.SerializeToString())
    return path


def _trained(images: ImageData) -> Reader:
    torch.manual_seed(0)
    net = Reader()
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    x, y = images.train.x_NCHW.float(), images.train.y_N
    for _ in range(15):
        for some in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            functional.cross_entropy(net(x[some]), y[some]).backward()
            optimiser.step()
    return net
