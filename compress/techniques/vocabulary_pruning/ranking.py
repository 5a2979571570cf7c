"""Score the words of a table: the highest stay.

``effect(w)`` is the sum, over the training examples that hold ``w``, of how far the answer moves
when ``w`` is the unknown word there: the number of these examples times the mean change, which is
measured on some of them. ``norm`` is the rule of ``-cutoff`` in Joulin et al., FastText.zip,
arXiv:1612.03651, and ``random`` is sampling the vocabulary.

Legend: V words, E numbers of a word, P pairs of an example and a word in it, B a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from compress.network.graph.values import Array
from compress.tasks.images import Images
from compress.tasks.task import Batch, Task
from compress.techniques.vocabulary_pruning.config import Rule
from compress.techniques.vocabulary_pruning.usage import Reading, TableRuns, Usage
from compress.values import seeds

_MOST_OF_A_WORD = 16
_BATCH_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class WordEvidence:
    """What words are scored by: the table ``(V, E)``, who reads it, and the training examples."""

    runs: TableRuns
    read: Sequence[Reading]
    usage: Usage
    table_VE: Array
    train: Images
    task: Task
    unknown: int
    most_rows: int
    seed: int


def scores(rule: Rule, evidence: WordEvidence) -> Tensor:
    """Return a score for every word, ``(V,)`` float64, never below 0."""
    return _RULES[rule](evidence)


def kept(scores_V: Tensor, ids_V: Tensor, *, number: int, unknown: int) -> Tensor:
    """Return the ids of the words that stay, in their order: 0, the unknown word and the best.

    Of equal scores the more frequent word is better, then the smaller id.
    """
    order = np.lexsort((np.arange(len(scores_V)), -ids_V.numpy(), -scores_V.numpy()))
    always = {0, unknown}
    best = [int(word) for word in order if int(word) not in always]
    return torch.tensor(sorted([*always, *best[: number - len(always)]]))


def _frequency(evidence: WordEvidence) -> Tensor:
    return evidence.usage.ids_V.double()


def _norm(evidence: WordEvidence) -> Tensor:
    return torch.from_numpy(np.linalg.norm(evidence.table_VE.astype(np.float64), axis=1))


def _random(evidence: WordEvidence) -> Tensor:
    generator = torch.Generator().manual_seed(seeds.derive(evidence.seed, "vocabulary"))
    return torch.rand(len(evidence.table_VE), generator=generator, dtype=torch.float64)


def _effect(evidence: WordEvidence) -> Tensor:
    usage = evidence.usage
    pairs_R = _tried(usage, most=evidence.most_rows)
    moved_R = evidence.runs.changes(evidence.read, usage, pairs_R, unknown=evidence.unknown)
    word_R, size = usage.word_P[pairs_R], usage.num_words
    sums_V = torch.zeros(size, dtype=torch.float64).index_add_(0, word_R, moved_R.double())
    tries_V = torch.bincount(word_R, minlength=size)
    usual = float(moved_R.double().mean()) if len(moved_R) else 0.0
    mean_V = torch.where(tries_V > 0, sums_V / tries_V.clamp_min(1), usual)
    return usage.examples * mean_V


def _tried(usage: Usage, *, most: int) -> Tensor:
    """Return the pairs that are tried: of every word as many, if it has them, evenly spaced.

    If there are more words than ``most``, the most frequent ones are tried, once each.
    """
    counts_V = usage.examples
    each = _MOST_OF_A_WORD
    while each > 1 and int(counts_V.clamp_max(each).sum()) > most:
        each -= 1
    count_P = counts_V[usage.word_P]
    starts_V = counts_V.cumsum(0) - counts_V
    place_P = torch.arange(len(usage.word_P)) - starts_V[usage.word_P]
    is_next = (place_P * each) // count_P != ((place_P - 1) * each).div(
        count_P, rounding_mode="floor"
    )
    found = torch.nonzero((count_P <= each) | is_next).flatten()
    if len(found) <= most:
        return found
    frequent = count_P[found].argsort(descending=True, stable=True)[:most]
    return found[frequent].sort().values


def _gradient(evidence: WordEvidence) -> Tensor:
    """Sum ``|gradient . (row - row of the unknown word)|`` over batches of training examples."""
    parts = {evidence.runs.module.get_submodule(one.layer) for one in evidence.read}
    tables = list(dict.fromkeys(part.get_parameter("weight") for part in parts))
    train, found = evidence.train, torch.zeros(len(evidence.table_VE), dtype=torch.float64)
    taken = min(evidence.most_rows, len(train))
    rows = torch.linspace(0, len(train) - 1, taken, dtype=torch.float64).round().long()
    offset_VE = torch.from_numpy(evidence.table_VE - evidence.table_VE[evidence.unknown])
    # Without cuDNN, whose recurrent layers have no gradients in eval mode.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for rows_B in rows.split(_BATCH_SIZE):
            gradients = torch.autograd.grad(_loss(evidence, rows_B), tables)
            for gradient in gradients:
                own = gradient.detach().cpu()
                by_word_VE = own if own.shape == offset_VE.shape else own.T
                found += (by_word_VE * offset_VE).sum(1).abs().double()
    return found


def _loss(evidence: WordEvidence, rows_B: Tensor) -> Tensor:
    answers = evidence.runs.answers(rows_B)
    batch = Batch(
        rows_B=rows_B.to(answers.device),
        x_BCHW=evidence.train.x_NCHW[rows_B].to(answers.device),
        labels_B=evidence.train.y_N[rows_B].to(answers.device),
    )
    return evidence.task.loss(answers.float(), batch)


_RULES: Mapping[Rule, Callable[[WordEvidence], Tensor]] = {
    "effect": _effect,
    "frequency": _frequency,
    "gradient": _gradient,
    "norm": _norm,
    "random": _random,
}
