"""Embeddings whose tables lie as the weights of any other layer, output channels first.

ONNX and torch keep a row ``(E,)`` for each of ``N`` words. Here the table is ``(E, N)``: that of a
linear layer whose input is 1 at the word and 0 elsewhere.

Legend: E numbers of a word, N words.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class EmbeddingTable(nn.Module):
    """Looks up words in a table; ``weight`` is ``(E, N)``."""

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias: nn.Parameter | None = None

    def forward(self, words: Tensor) -> Tensor:
        """The numbers of every word, along a new last axis."""
        return functional.embedding(words, self.weight.T)
