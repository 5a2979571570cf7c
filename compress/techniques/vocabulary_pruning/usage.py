"""Which words of a table every training example holds, and what answers are without one of them.

Legend: N examples, B examples of a batch, P pairs of an example and a word in it, R pairs of them
that are tried, V words, F ids of an example that lie side by side with others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from compress.network.graph.shapes import bind
from compress.network.graph.values import Graph
from compress.network.network import Network, ShouldStop
from compress.network.running import foreign
from compress.network.signature import BATCH
from compress.techniques.vocabulary_pruning.tables import WordTable
from compress.training import inference
from compress.values.errors import InvalidCandidate, Stopped

_BATCH_SIZE = 256
_Hook: TypeAlias = Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...] | None]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A layer that picks rows of a table, and the axis of its ids along which examples lie."""

    layer: str
    axis: int


def readings(graph: Graph, table: WordTable, layers: Mapping[str, str]) -> tuple[Reading, ...]:
    """Return who reads a table. Raises InvalidCandidate if examples cannot be told apart."""
    two, three = (bind(graph, {BATCH: number}) for number in (2, 3))
    found: list[Reading] = []
    for node in table.readers:
        name = node.inputs[1]
        sizes = zip(two.get(name, ()), three.get(name, ()), strict=True)
        moving = [axis for axis, (one, more) in enumerate(sizes) if 3 * one == 2 * more]
        if len(moving) != 1:
            raise InvalidCandidate(
                f"vocabulary_pruning: the ids that {layers[node.name]} reads do not lie by "
                "examples: exclude it"
            )
        found.append(Reading(layer=layers[node.name], axis=moving[0]))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The words of the examples of a split: pairs ``row_P`` and ``word_P``, by words, then rows.

    ``answers_N`` are what the network says of the examples, ``ids_V`` how often each id is read.
    """

    row_P: Tensor
    word_P: Tensor
    answers_N: Tensor
    ids_V: Tensor

    @property
    def num_words(self) -> int:
        """The number of words of the table."""
        return len(self.ids_V)

    @property
    def examples(self) -> Tensor:
        """The number of examples that hold each word."""
        return torch.bincount(self.word_P, minlength=self.num_words)


class TableRuns:
    """TableRuns a network, in eval mode, on training examples."""

    def __init__(
        self, network: Network, x_NCHW: Tensor, *, device: torch.device, should_stop: ShouldStop
    ) -> None:
        self.module = inference.copied_to(device, network).eval()
        self._prepare = inference.preparation_of(network, device)
        self._x_NCHW, self._device, self._should_stop = x_NCHW, device, should_stop

    def answers(self, rows_R: Tensor) -> Tensor:
        """Return the answers to some examples."""
        if self._should_stop():
            raise Stopped("stopped while words were ranked")
        x_RCHW = self._x_NCHW[rows_R].to(self._device)
        return foreign.run(self.module, self._prepare(x_RCHW))

    @torch.no_grad()
    def usage(self, read: Sequence[Reading], num_words: int) -> Usage:
        """Return the words of all examples. Raises InvalidCandidate for an id beyond the table."""
        seen: list[Tensor] = []
        answers: list[Tensor] = []
        ids_V = torch.zeros(num_words, dtype=torch.int64)
        keys: list[Tensor] = [torch.zeros(0, dtype=torch.int64)]
        hooks = [_seeing(one, seen) for one in read]
        with self._hooked(read, hooks):
            for rows_B in torch.arange(len(self._x_NCHW)).split(_BATCH_SIZE):
                seen.clear()
                answers.append(self.answers(rows_B).cpu())
                for ids in seen:
                    of_row = ids.reshape(len(rows_B), -1).long().cpu()
                    _check_ids(of_row, num_words)
                    ids_V += torch.bincount(of_row.flatten(), minlength=num_words)
                    keys.append((of_row * len(self._x_NCHW) + rows_B[:, None]).unique())
        key_P = torch.cat(keys).unique()
        return Usage(
            row_P=key_P % len(self._x_NCHW),
            word_P=key_P // len(self._x_NCHW),
            answers_N=torch.cat(answers),
            ids_V=ids_V,
        )

    @torch.no_grad()
    def changes(
        self, read: Sequence[Reading], usage: Usage, pairs_R: Tensor, *, unknown: int
    ) -> Tensor:
        """Return how far answers move, ``(R,)``, when a word of the example is the unknown one."""
        found: list[Tensor] = [torch.zeros(0)]
        for pairs_B in pairs_R.split(_BATCH_SIZE):
            rows_B, words_B = usage.row_P[pairs_B], usage.word_P[pairs_B].to(self._device)
            hooks = [_replacing(one, words_B, unknown) for one in read]
            with self._hooked(read, hooks):
                moved = (self.answers(rows_B).cpu() - usage.answers_N[rows_B])[:, None]
            found.append(moved.abs().amax(-1).flatten(1).sum(1))
        return torch.cat(found)

    @contextmanager
    def _hooked(self, read: Sequence[Reading], hooks: Sequence[_Hook]) -> Iterator[None]:
        handles = [
            self.module.get_submodule(one.layer).register_forward_pre_hook(hook)
            for one, hook in zip(read, hooks, strict=True)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _seeing(read: Reading, seen: list[Tensor]) -> _Hook:
    def see(_: nn.Module, args: tuple[Any, ...]) -> None:
        seen.append(args[0].movedim(read.axis, 0))

    return see


def _replacing(read: Reading, words_B: Tensor, unknown: int) -> _Hook:
    def replace(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        ids = args[0].movedim(read.axis, 0)
        words = words_B.repeat_interleave(len(ids) // len(words_B)).to(ids.dtype)
        words = words.reshape(-1, *[1] * (ids.ndim - 1))
        return (torch.where(ids == words, unknown, ids).movedim(0, read.axis), *args[1:])

    return replace


def _check_ids(ids: Tensor, num_words: int) -> None:
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= num_words:
        wrong = low if low < 0 else high
        raise InvalidCandidate(
            f"vocabulary_pruning: training examples hold the id {wrong}, the table has the words 0 "
            f"to {num_words - 1}"
        )
