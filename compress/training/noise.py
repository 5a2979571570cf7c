"""Noise that a network meets in training only: words that are missing, and shaken embeddings.

Dropping words to the unknown one trains the row of that word (Iyyer et al., Deep Unordered
Composition Rivals Syntactic Methods for Text Classification, ACL 2015, section 4). Most words of
new texts are looked up there, and so are all that vocabulary pruning takes away.

Legend: B examples of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from compress.network.graph.view.operators.embedding import EmbeddingTable

UNKNOWN = 1
"""The id of words without a row of their own; 0 is padding."""
USUAL_DROPOUT = 0.1
"""Of tasks on texts, unless a job says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How much noise a training adds.

    ``word_dropout`` is the share of ids that become the unknown word, ``embedding_noise`` the
    deviation of what is added to rows of tables, in units of the deviation of the table.
    """

    word_dropout: float = 0.0
    embedding_noise: float = 0.0

    def of_words(self, ids_B: Tensor) -> Tensor:
        """Return ids, whole numbers in any type, of which some have become the unknown word."""
        if self.word_dropout == 0:
            return ids_B
        is_lost = torch.rand(ids_B.shape, device=ids_B.device) < self.word_dropout
        return torch.where(is_lost & (ids_B > 0), float(UNKNOWN), ids_B)

    @contextmanager
    def shaken(self, module: nn.Module) -> Iterator[None]:
        """Add noise to the rows that the module's tables give, for as long as this lasts."""
        tables = [part for part in module.modules() if isinstance(part, _TABLES)]
        if self.embedding_noise == 0 or not tables:
            yield
            return
        hooks = [table.register_forward_hook(self._shake) for table in tables]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _shake(self, table: nn.Module, _: Any, rows: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return rows
        weight = table.weight
        assert isinstance(weight, Tensor)
        return rows + self.embedding_noise * weight.detach().std() * torch.randn_like(rows)


SILENT = Noise()
_TABLES = (nn.Embedding, EmbeddingTable)
