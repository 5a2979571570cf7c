"""Small classifiers of images with layers that are no convolution and no linear layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.network.network import Network
from tests.compress.uploads import CLASSES, written_by_hand


class Decoder(nn.Module):
    """Down by a convolution, up by transposed ones: plain, in groups, and channel by channel."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.down_norm = nn.Conv2d(3, 16, 4, stride=4), nn.BatchNorm2d(16)
        self.up = nn.ConvTranspose2d(16, 12, 2, stride=2, bias=False)
        self.up_norm = nn.BatchNorm2d(12)
        self.grouped = nn.ConvTranspose2d(12, 8, 3, 2, padding=1, output_padding=1, groups=2)
        self.single = nn.ConvTranspose2d(8, 8, 3, padding=1, groups=8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the mean over all positions."""
        x = functional.relu(self.down_norm(self.down(x)))
        x = functional.relu(self.up_norm(self.up(x)))
        x = functional.relu(self.single(functional.relu(self.grouped(x))))
        return self.head(x.mean((2, 3)))


class Volumes(nn.Module):
    """The colours of an image as a depth: convolutions over three axes, plain and in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(1, 12, (2, 4, 4), stride=(1, 2, 2), bias=False)
        self.norm = nn.BatchNorm3d(12)
        self.grouped = nn.Conv3d(12, 16, 3, stride=2, padding=1, groups=2)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the mean over all places."""
        x = functional.relu(self.norm(self.first(x[:, None])))
        return self.head(functional.relu(self.grouped(x)).mean((2, 3, 4)))


class Rows(nn.Module):
    """The rows of an image as a sequence: two recurrent layers, then the last step of each."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], *, both: bool) -> None:
        super().__init__()
        self.first = kind(3 * 16, 12, batch_first=True, bidirectional=both)
        self.second = kind(12 * (1 + both), 10, batch_first=True)
        self.head = nn.Linear(10, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits behind the last row."""
        x = self.first(x.transpose(1, 2).flatten(2))[0]
        return self.head(self.second(x)[0][:, -1])


class Words(nn.Module):
    """Pixels as words of a table: their means by place, and what they have in common."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(24, 16)
        self.mix = nn.Conv1d(16, 24, 3, stride=2, bias=False)
        self.norm = nn.BatchNorm1d(24)
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the mean over all places."""
        words = (x[:, :, ::4, ::4].flatten(2) * 11.0).clamp(0.0, 23.0).long().flatten(1)
        x = self.table(words).transpose(1, 2)
        return self.head(functional.relu(self.norm(self.mix(x))).mean(2))


class Attending(nn.Module):
    """The rows of an image, which attend to each other in two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.norm = nn.Linear(3 * 16, 16), nn.LayerNorm(16)
        self.heads = nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the mean over all rows."""
        x = self.rows(x.transpose(1, 2).flatten(2))
        normal = self.norm(x)
        return self.head((x + self.heads(normal, normal, normal, need_weights=False)[0]).mean(1))


class Tied(nn.Module):
    """Words whose table is the weight of the answer, too."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.bias = nn.Embedding(CLASSES, 16), nn.Parameter(torch.zeros(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the mean over all words."""
        words = (x[:, :, ::4, ::4] * 2.0).clamp(0.0, CLASSES - 1.0).long().flatten(1)
        x = functional.relu(self.table(words).mean(1))
        return functional.linear(x, self.table.weight, self.bias)


KINDS: Mapping[str, Callable[[], nn.Module]] = {
    "decoder": Decoder,
    "volumes": Volumes,
    "lstm": partial(Rows, nn.LSTM, both=True),
    "gru": partial(Rows, nn.GRU, both=True),
    "words": Words,
    "attention": Attending,
}


def network(kind: str) -> Network:
    """The network of that kind, as that of its file; always the same."""
    return made(KINDS[kind])


def made(kind: Callable[[], nn.Module]) -> Network:
    """The network of a module, as that of its file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return written_by_hand(kind())
