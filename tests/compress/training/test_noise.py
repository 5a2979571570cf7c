"""Noise is met in training, only by words, and leaves nothing behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compress.network.graph.view.operators.embedding import EmbeddingTable
from compress.training.noise import SILENT, UNKNOWN, Noise

IDS = torch.randint(2, 50, (40, 25)).float()
IDS[:, 20:] = 0


def test_a_share_of_the_words_becomes_the_unknown_word_and_padding_stays():
    torch.manual_seed(0)
    found = Noise(word_dropout=0.3).of_words(IDS)
    changed = found != IDS
    assert bool((found[changed] == UNKNOWN).all())
    assert bool((found[:, 20:] == 0).all())
    assert float(changed[:, :20].float().mean()) == pytest.approx(0.3, abs=0.05)
    assert SILENT.of_words(IDS) is IDS


@pytest.mark.parametrize("table", [nn.Embedding(50, 4), EmbeddingTable(torch.randn(4, 50))])
def test_rows_are_shaken_only_while_a_network_trains(table):
    ids, still = IDS.long(), table(IDS.long())
    with Noise(embedding_noise=0.5).shaken(nn.Sequential(table)):
        moved = (table(ids) - still).detach()
        with torch.no_grad():
            assert torch.equal(table(ids), still)
    assert float(moved.std() / table.weight.detach().std()) == pytest.approx(0.5, rel=0.1)
    assert torch.equal(table(ids), still)
