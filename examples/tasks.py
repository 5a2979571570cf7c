"""Make data, and a network trained on it, for the example job of a task.

    python examples/tasks.py regression
    featherweight up --job examples/regression.yaml

The tasks are regression, multilabel and unlabelled; each gets a NAME.npz and a NAME.onnx next to
this file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featherweight import samples
from featherweight.torch import export

HIDDEN, EPOCHS, BATCH = 128, 60, 64
SPLITS = {"train": 2000, "validation": 500, "test": 500}
Arrays = dict[str, NDArray[Any]]
Loss = Callable[[Tensor, Tensor], Tensor]


class Standardised(nn.Module):
    """A network on raw values that answers in the targets' own unit: both scales are inside."""

    def __init__(self, network: nn.Module, x: Tensor, y: Tensor | None = None) -> None:
        super().__init__()
        self.network = network
        for name, values in (("x", x), ("y", y)):
            mean = torch.zeros(1) if values is None else values.mean(0)
            std = torch.ones(1) if values is None else values.std(0).clamp_min(1e-6)
            self.register_buffer(f"{name}_mean", mean)
            self.register_buffer(f"{name}_std", std)

    def forward(self, x: Tensor) -> Tensor:
        """Return answers for rows of raw values."""
        return self.network((x - self.x_mean) / self.x_std) * self.y_std + self.y_mean


def regression(epochs: int) -> tuple[Arrays, nn.Module]:
    """Friedman's first function of ten columns, of which five matter (Friedman, 1991)."""
    random = np.random.default_rng(0)
    found: Arrays = {}
    for split, count in SPLITS.items():
        x = random.random((count, 10))
        y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
        y = y + 10 * x[:, 3] + 5 * x[:, 4] + random.normal(size=count)
        found |= {f"x_{split}": x.astype(np.float32), f"y_{split}": y.astype(np.float32)}
    x, y = torch.from_numpy(found["x_train"]), torch.from_numpy(found["y_train"])[:, None]
    network = Standardised(layers(10, 1), x, y)

    def loss(said: Tensor, true: Tensor) -> Tensor:
        return ((said - true) / y.std()).square().mean()

    return found, trained(network, x, y, loss, epochs)


def multilabel(epochs: int) -> tuple[Arrays, nn.Module]:
    """Eight labels, each of which holds where a hidden rule of twenty columns says so."""
    random = np.random.default_rng(0)
    first, second = random.normal(size=(20, 24)), random.normal(size=(24, 8))
    found: Arrays = {}
    for split, count in SPLITS.items():
        x = random.normal(size=(count, 20))
        rule = np.tanh(x @ first / 3) @ second + random.normal(size=(count, 8))
        found |= {f"x_{split}": x.astype(np.float32), f"y_{split}": (rule > 2).astype(np.uint8)}
    x, y = torch.from_numpy(found["x_train"]), torch.from_numpy(found["y_train"])
    loss = nn.functional.binary_cross_entropy_with_logits
    return found, trained(layers(20, 8), x, y.float(), loss, epochs)


def unlabelled(epochs: int) -> tuple[Arrays, nn.Module]:
    """Scanned digits without their labels, and a network that makes a vector of each.

    It has learned to tell them apart; that nobody says so is the point.
    """
    digits = samples.digits()
    found: Arrays = {
        name: values.reshape(len(values), -1).astype(np.float32)
        for name, values in digits.items()
        if name.startswith("x")
    }
    body, head = layers(64, 32), nn.Linear(32, 10)
    x, y = torch.from_numpy(found["x_train"]), torch.from_numpy(digits["y_train"])
    whole = nn.Sequential(Standardised(body, x), head)
    trained(whole, x, y, nn.functional.cross_entropy, epochs)
    return found, whole[0]


TASKS: Mapping[str, Callable[[int], tuple[Arrays, nn.Module]]] = {
    "regression": regression,
    "multilabel": multilabel,
    "unlabelled": unlabelled,
}


def layers(inputs: int, outputs: int) -> nn.Module:
    """Return two hidden layers."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(inputs, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, outputs),
    )


def trained(network: nn.Module, x: Tensor, y: Tensor, loss: Loss, epochs: int) -> nn.Module:
    """Train a network on rows of numbers."""
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(BATCH):
            optimiser.zero_grad()
            loss(network(x[batch]), y[batch]).backward()
            optimiser.step()
    return network.eval()


def main(name: str, folder: Path, epochs: int = EPOCHS) -> None:
    """Write the data and the network of a task."""
    arrays, network = TASKS[name](epochs)
    np.savez(folder / f"{name}.npz", **arrays)
    export(network, torch.from_numpy(arrays["x_train"][:8]), folder / f"{name}.onnx")


if __name__ == "__main__":
    main(sys.argv[1], Path(__file__).parent)
