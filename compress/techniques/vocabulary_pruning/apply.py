"""Take words out of the tables of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from compress.network import layers
from compress.network.graph.names import layer_names
from compress.network.graph.values import Graph
from compress.network.graph.view import absorbing
from compress.network.graph.view.program import GraphedModule, graphed
from compress.network.network import Network
from compress.techniques.compressed import CompressedModel
from compress.techniques.vocabulary_pruning import ranking, shrinking, tables, usage
from compress.techniques.vocabulary_pruning.config import VocabularyPruning
from compress.techniques.vocabulary_pruning.ranking import WordEvidence
from compress.techniques.vocabulary_pruning.shrinking import KeptWords
from compress.techniques.vocabulary_pruning.tables import FoundTables, WordTable
from compress.techniques.vocabulary_pruning.usage import TableRuns
from compress.training import calibration
from compress.training.context import TrialContext
from compress.values import patterns
from compress.values.errors import InvalidCandidate, NumericalError

_NAME = "vocabulary_pruning"
_DOING = "lose words"


def apply(
    compressed: CompressedModel, config: VocabularyPruning, context: TrialContext
) -> CompressedModel:
    """Return a copy whose tables keep a share of their words, and notes about each table.

    All words are ranked with the whole network before any of them leaves. Raises InvalidCandidate
    for a network without a table of words, for an unknown word that a table does not have, and for
    ids that it does not have; NumericalError for a table that is not finite; InvalidData for
    training examples that do not fit.
    """
    if not config.has_effect:
        return _noted(compressed, ["keep is 1, every word stays"])
    network = compressed.network
    calibration.check(context.data.train, input_shape=network.input_shape)
    words = _Words.of(network)
    chosen, notes = words.chosen(config), words.staying()
    graph, shapes, first = words.graph, None, None
    for table in chosen:
        evidence = words.evidence(table, config, context)
        kept = _kept(config, evidence)
        if len(kept.ids_K) + len(kept.shared_SE) == table.num_words:
            notes.append(f"{table.tensor} keeps all of its {table.num_words:,} words")
            continue
        graph, shapes = shrinking.shrunk(graph, tables.same(table, graph), kept)
        notes.append(_described(table, kept, evidence, config))
        first = kept if table is words.found.tables[0] else first
    if shapes is None:
        return _noted(compressed, [*notes, "no word leaves"])
    module = words.module.narrowed(graph, shapes, words.layers)
    smaller = replace(network, module=module)
    return _noted(compressed.after(config, network=smaller, kept_words=_ids(first)), notes)


@dataclass(frozen=True, kw_only=True)
class _Words:
    """The graph of a network, its layers by nodes, and its tables."""

    network: Network
    module: GraphedModule
    graph: Graph
    layers: Mapping[str, str]
    found: FoundTables

    @classmethod
    def of(cls, network: Network) -> _Words:
        module = graphed(network.module, doing=_DOING)
        whole = absorbing.layered(module, module.program_for(network.signature))
        found = tables.find(whole.graph)
        if not found.tables:
            why = "".join(f"; {name}: {reason}" for name, reason in found.staying.items())
            raise InvalidCandidate(
                f"{_NAME}: the network has no table whose rows are picked by ids of its input: "
                f"leave {_NAME} out{why}"
            )
        names = layer_names(whole.graph, whole.layers)
        return cls(network=network, module=module, graph=whole.graph, layers=names, found=found)

    def staying(self) -> list[str]:
        """Notes about tables that are none of words."""
        return [f"{name} keeps its rows: {why}" for name, why in self.found.staying.items()]

    def chosen(self, config: VocabularyPruning) -> list[WordTable]:
        """Return the tables that are not excluded. Raises InvalidCandidate."""
        names = [layer.name for layer in layers.weighted(self.network)]
        spared = set(patterns.matching(config.exclude, names, technique=_NAME))
        chosen = [
            table
            for table in self.found.tables
            if spared.isdisjoint(self.layers[node.name] for node in table.readers)
        ]
        for table in chosen:
            if config.unknown >= table.num_words:
                raise InvalidCandidate(
                    f"{_NAME}: unknown is {config.unknown}, and the table {table.tensor} has the "
                    f"words 0 to {table.num_words - 1}"
                )
            if not np.isfinite(self.graph.tensors[table.tensor]).all():
                raise NumericalError(f"{_NAME}: {table.tensor} holds a NaN or an infinity")
        return chosen

    def evidence(
        self, table: WordTable, config: VocabularyPruning, context: TrialContext
    ) -> WordEvidence:
        """Look at the training examples."""
        train = context.data.train
        runs = TableRuns(
            self.network, train.x_NCHW, device=context.device, should_stop=context.should_stop
        )
        read = usage.readings(self.graph, table, self.layers)
        return WordEvidence(
            runs=runs,
            read=read,
            usage=runs.usage(read, table.num_words),
            table_VE=self.graph.tensors[table.tensor],
            train=train,
            task=context.task,
            unknown=config.unknown,
            most_rows=config.calibration_rows,
            seed=context.seed,
        )


def _kept(config: VocabularyPruning, evidence: WordEvidence) -> KeptWords:
    table_VE, ids_V = evidence.table_VE, evidence.usage.ids_V
    ids = ranking.kept(
        ranking.scores(config.rule, evidence),
        ids_V,
        number=config.num_kept(len(table_VE)),
        unknown=config.unknown,
    ).numpy()
    shared = shrinking.shared_rows(table_VE, ids, ids_V.numpy(), config.buckets)
    return KeptWords(ids_K=ids, shared_SE=shared, unknown=config.unknown)


def _described(
    table: WordTable, kept: KeptWords, evidence: WordEvidence, config: VocabularyPruning
) -> str:
    ids_V = evidence.usage.ids_V.double().numpy()
    # Padding is no word.
    ids_V[0] = 0
    share = ids_V[kept.ids_K].sum() / max(1.0, ids_V.sum())
    shared = f", the others share {len(kept.shared_SE):,} rows" if len(kept.shared_SE) else ""
    return (
        f"{table.tensor} keeps {len(kept.ids_K):,} of {table.num_words:,} words by {config.rule}, "
        f"{share:.1%} of those in training examples{shared}"
    )


def _ids(kept: KeptWords | None) -> tuple[int, ...] | int | None:
    """Return which ids of the first table a file still tells apart; words in buckets are told."""
    if kept is None or len(kept.shared_SE):
        return None
    return len(kept.ids_K) if kept.are_first else tuple(kept.ids_K.tolist())


def _noted(compressed: CompressedModel, what: list[str]) -> CompressedModel:
    return compressed.evolve(notes=(*compressed.notes, *(f"{_NAME}: {text}" for text in what)))
