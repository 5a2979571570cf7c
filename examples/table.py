"""Make a table, train a network on it, and write both for examples/table.yaml.

    python examples/table.py
    featherweight up --job examples/table.yaml

The table has a row for each scanned digit: its 64 pixels as columns.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from featherweight import samples
from featherweight.torch import export

HIDDEN, EPOCHS, BATCH = 128, 30, 64


def main(folder: Path, epochs: int) -> None:
    """Write ``table.npz`` and ``table.onnx`` to the folder."""
    digits = samples.digits()
    table: dict[str, Any] = {
        name: values.reshape(len(values), -1).astype(np.float32) if name[0] == "x" else values
        for name, values in digits.items()
    }
    np.savez(folder / "table.npz", **table)
    network = trained(torch.tensor(table["x_train"]), torch.tensor(table["y_train"]), epochs)
    export(network, torch.tensor(table["x_train"][:8]), folder / "table.onnx")


def trained(rows: torch.Tensor, labels: torch.Tensor, epochs: int) -> nn.Module:
    """Train two hidden layers on rows of numbers from 0 to 16."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(rows.shape[1], HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, 10),
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(rows[batch]), labels[batch]).backward()
            optimiser.step()
    return network.eval()


if __name__ == "__main__":
    main(Path(__file__).parent, int(sys.argv[1]) if len(sys.argv) > 1 else EPOCHS)
