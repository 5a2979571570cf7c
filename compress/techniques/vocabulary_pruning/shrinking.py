"""A graph whose tables have lost words: fewer rows, and nodes that turn ids into rows.

Users' ids stay valid. If the first so many words stay, ``Where(ids < K, ids, unknown)`` is all;
else a list of rows, one for each id, is picked from. It counts the words that stay, 0 for one that
leaves, so a file holds it as one bit a word
(``compress.export.weight_encoding.counted_places``); the unknown word is row 0.

Legend: V words, E numbers of a word, K words that stay, S rows that words share.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from compress.network.graph.rewiring import free_name, names_of, without_dead_code
from compress.network.graph.shapes import bound
from compress.network.graph.values import Array, Attribute, Graph, Node, Shapes
from compress.network.signature import BATCH
from compress.techniques.vocabulary_pruning.tables import WordTable

_EXAMPLES = 2
_INT32, _INT64 = 6, 7


@dataclass(frozen=True, kw_only=True)
class KeptWords:
    """What stays of a table: ids in their order, 0 and ``unknown`` among them, and ``shared_SE``.

    The rows of buckets come after those of the words.
    """

    ids_K: Array
    shared_SE: Array
    unknown: int

    @property
    def are_first(self) -> bool:
        """Whether they are the first of all words."""
        return bool((self.ids_K == np.arange(len(self.ids_K))).all())

    def __post_init__(self) -> None:
        assert {0, self.unknown} <= set(self.ids_K.tolist())


def shrunk(graph: Graph, table: WordTable, kept: KeptWords) -> tuple[Graph, Shapes]:
    """Return the graph with fewer rows in a table, and its shapes for two examples."""
    editing = _Editing(graph, table, kept)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node in table.readers:
            nodes += editing.before(node)
            node = replace(node, inputs=(node.inputs[0], editing.rows[node.inputs[1]]))
        nodes.append(node)
    tensors = {**graph.tensors, **editing.tensors, table.tensor: editing.smaller()}
    smaller = without_dead_code(replace(graph, nodes=tuple(nodes), tensors=tensors))
    return smaller, bound(smaller, {BATCH: _EXAMPLES}).shapes


@dataclass
class _Editing:
    graph: Graph
    table: WordTable
    kept: KeptWords
    tensors: dict[str, Array] = field(default_factory=dict[str, Array])
    rows: dict[str, str] = field(default_factory=dict[str, str])
    taken: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self.taken = names_of(self.graph) | {node.name for node in self.graph.nodes}
        self.types = bound(self.graph, {BATCH: _EXAMPLES}).types
        self._nodes: list[Node] = []

    def smaller(self) -> Array:
        """Return the rows that are left, ``(K + S, E)``."""
        kept, whole_VE = self.kept, self.graph.tensors[self.table.tensor]
        order_K = kept.ids_K if kept.are_first else self._listed()
        rows = np.concatenate([whole_VE[order_K], kept.shared_SE])
        return np.ascontiguousarray(rows, dtype=np.float32)

    def before(self, reader: Node) -> list[Node]:
        """Return the nodes that turn the ids of a reader into rows, if there are none yet."""
        self._nodes, ids = [], reader.inputs[1]
        if ids not in self.rows:
            make = self._by_first if self.kept.are_first else self._by_list
            self.rows[ids] = make(ids)
        return self._nodes

    def _by_first(self, ids: str) -> str:
        dtype = np.dtype(np.int32 if self.types.get(ids) == _INT32 else np.int64)
        number = self._constant("kept", np.asarray(len(self.kept.ids_K), dtype))
        stays = self._node("Less", "stays", ids, number)
        if len(self.kept.shared_SE):
            other = self._node("Add", "bucket", self._bucket(ids, dtype), number)
        else:
            other = self._constant("unknown", np.asarray(self.kept.unknown, dtype))
        return self._node("Where", "row", stays, ids, other)

    def _by_list(self, ids: str) -> str:
        rows_V = np.zeros(self.table.num_words, np.int32)
        if not len(self.kept.shared_SE):
            others_K = self._listed()[1:]
            rows_V[others_K] = np.arange(1, len(others_K) + 1)
            return self._node("Gather", "row", self._constant("rows", rows_V), ids)
        ids_K = self.kept.ids_K
        rows_V[ids_K] = np.arange(1, len(ids_K) + 1)
        one = self._constant("one", np.asarray(1, np.int32))
        row = self._node("Gather", "counted", self._constant("rows", rows_V), ids)
        leaves = self._node("Less", "leaves", row, one)
        small = self._node("Cast", "ids", ids, to=_INT32)
        start = self._constant("kept", np.asarray(len(ids_K), np.int32))
        bucket = self._node("Add", "bucket", self._bucket(small, np.dtype(np.int32)), start)
        return self._node("Where", "row", leaves, bucket, self._node("Sub", "own", row, one))

    def _listed(self) -> Array:
        """The ids of the rows where ids are listed: the unknown word first if none are shared."""
        ids_K, unknown = self.kept.ids_K, self.kept.unknown
        if len(self.kept.shared_SE):
            return ids_K
        return np.concatenate([[unknown], ids_K[ids_K != unknown]])

    def _bucket(self, ids: str, dtype: np.dtype[np.signedinteger]) -> str:
        buckets = np.asarray(len(self.kept.shared_SE), dtype)
        return self._node("Mod", "hashed", ids, self._constant("buckets", buckets))

    def _constant(self, part: str, values: Array) -> str:
        name = self._free(part)
        self.tensors[name] = values
        return name

    def _node(self, op: str, part: str, *inputs: str, **attributes: Attribute) -> str:
        name = self._free(part)
        node = Node(op=op, name=name, inputs=inputs, outputs=(name,), attributes=attributes)
        self._nodes.append(node)
        return name

    def _free(self, part: str) -> str:
        stem = self.table.tensor.removesuffix(".weight")
        name = free_name(f"{stem}_words.{part}", self.taken)
        self.taken.add(name)
        return name


def shared_rows(whole_VE: Array, ids_K: Array, weights_V: Array, number: int) -> Array:
    """Return the rows of buckets ``(S, E)``: the mean of their words, by how often they occur.

    A word is in the bucket of its id modulo ``number``; there are no more buckets than words that
    leave. Words that never occur count a little.
    """
    leaving = np.setdiff1d(np.arange(len(whole_VE)), ids_K)
    number = min(number, len(leaving))
    if not number:
        return whole_VE[:0]
    weights = np.where(weights_V > 0, weights_V, 1e-3)[leaving]
    bucket = leaving % number
    sums = np.zeros((number, whole_VE.shape[1]))
    np.add.at(sums, bucket, whole_VE[leaving] * weights[:, None])
    totals = np.bincount(bucket, weights, minlength=number)
    return (sums / np.maximum(totals, 1e-9)[:, None]).astype(np.float32)
