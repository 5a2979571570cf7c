"""Tables of words that stay packed in memory: a row is decoded when a word of it is read.

What is decoded as a file is loaded lies in memory as float32 for as long as the file is open, eight
or sixteen times as large as in the file. A convolution needs all of it in every call, a table a few
rows. So its codes lie as bytes, a Gather picks rows of bytes, and plain arithmetic in float32 makes
digits, integers and numbers of them. Every operator is in opset 13, and every step is exact.

A word of one to three bytes holds digits of any base, lowest first: of base 4 four in a byte, of
base 3 five, of base 8 eight in three bytes. A row holds the lowest bytes of all its words, then the
next ones; and digit ``j`` of word ``w`` is column ``j W + w``, so that columns come by joining.

Legend: E numbers of a word of the table, N rows, W packed words of a row, G groups of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from compress.export.weight_encoding import floats
from compress.export.weight_encoding.building import Building
from compress.network.stored_weight import SparseFloat, StoredWeight, is_half

LEAST_NUMBERS = 2**18
"""Of a table that stays packed: below one MiB of float32, memory is not worth bytes of the file."""
_BITS = 8
_MOST_BYTES = 3
"""A word of three bytes is a whole number that float32 holds exactly."""
_PACKED = frozenset({TensorProto.FLOAT16, TensorProto.UINT8})
_MOST_ROUNDED = 2**22
"""Below this, half a unit more keeps a quotient by any base on its side of a whole number."""


@dataclass(frozen=True, kw_only=True)
class _Words:
    """How digits lie in words of a few bytes."""

    base: int
    digits: int
    size: int

    @property
    def is_shifted(self) -> bool:
        """Whether a division moves bits and rounds nothing."""
        return self.base & (self.base - 1) == 0

    def count(self, columns: int) -> int:
        """Return how many words hold a row of so many digits."""
        return -(-columns // self.digits)

    def row_bytes(self, columns: int) -> int:
        """Return what such a row takes."""
        return self.count(columns) * self.size


def stays_packed(weight: StoredWeight | SparseFloat) -> bool:
    """Whether a table ``(E, N)`` is large enough, and has a form that is decoded by rows."""
    if isinstance(weight, StoredWeight):
        return weight.integers_OI.size >= LEAST_NUMBERS
    return weight.values_OI.size >= LEAST_NUMBERS and is_half(weight.values_OI)


def lookup(weight: StoredWeight | SparseFloat, *, ids: str, output: str, prefix: str) -> Building:
    """Return what makes ``output (..., E)`` of whole numbers ``ids (...)`` by a table ``(E, N)``.

    Its values are those of ``weight.values()``, to the bit. The last node is an Identity, which
    says where the table ends (``packed`` reads it) and costs no time.
    """
    building = Building(prefix=prefix)
    if isinstance(weight, SparseFloat):
        table_NE = np.ascontiguousarray(weight.values_OI.T.astype(np.float16))
        picked = building.add("Gather", [building.constant(table_NE), ids])
        name = building.add("Cast", [picked], to=TensorProto.FLOAT)
    else:
        name = _scaled(building, weight, _integers(building, weight, ids), ids)
    building.nodes.append(helper.make_node("Identity", [name], [output]))
    return building


@dataclass(frozen=True, kw_only=True)
class PackedTable:
    """A table that is decoded by rows: what picks them, and the nodes up to its numbers."""

    codes: TensorProto
    ids: str
    nodes: list[NodeProto]

    @property
    def output(self) -> str:
        """The tensor of the numbers, ``(..., E)``."""
        return self.nodes[-1].output[0]


def packed(model: ModelProto) -> Iterator[PackedTable]:
    """Yield the tables that ``compress.export.weight_encoding.rows`` has written."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    every = list(model.graph.node)
    for place, node in enumerate(every):
        codes = tensors.get(node.input[0]) if node.op_type == "Gather" else None
        if codes is None or codes.data_type not in _PACKED or node.input[1] in tensors:
            continue
        last = next(
            (i for i, n in enumerate(every[place:], place) if n.op_type == "Identity"), None
        )
        nodes = [] if last is None else every[place : last + 1]
        inner = {name for each in nodes for name in each.output} | tensors.keys()
        if nodes and {name for each in nodes for name in each.input} - inner == {node.input[1]}:
            yield PackedTable(codes=codes, ids=node.input[1], nodes=nodes)


def _integers(building: Building, weight: StoredWeight, ids: str) -> str:
    """Return the integers of the rows as float32: as places in a codebook if that is smaller."""
    integers_NE = weight.integers_OI.T.astype(np.int16)
    occurring, columns = np.unique(integers_NE), integers_NE.shape[1]
    least = _least(integers_NE)
    above_NE = integers_NE - least
    spread = _smallest(int(above_NE.max()) + 1, columns)
    few = _smallest(len(occurring), columns)
    if few.row_bytes(columns) < spread.row_bytes(columns):
        places_NE = np.searchsorted(occurring, integers_NE)
        places = _digits(building, places_NE, few, ids)
        whole = building.add("Cast", [places], to=TensorProto.INT32)
        return building.add("Gather", [building.constant(occurring.astype(np.float32)), whole])
    name = _digits(building, above_NE, spread, ids)
    if not least.any():
        return name
    return building.add("Add", [name, floats.constant(building, least.astype(np.float32))])


def _least(integers_NE: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the least integer, ``()``; or of each column, ``(E,)``, if rows are shorter then."""
    lowest_E, columns = integers_NE.min(axis=0), integers_NE.shape[1]
    own, joint = (
        _smallest(int((integers_NE - least).max()) + 1, columns).row_bytes(columns)
        for least in (lowest_E, lowest_E.min())
    )
    return lowest_E if own < joint else np.asarray(lowest_E.min())


def _smallest(levels: int, columns: int) -> _Words:
    return min(
        _words(levels), key=lambda words: (words.row_bytes(columns), words.size, words.digits)
    )


def _words(levels: int) -> Iterator[_Words]:
    """Yield the words for digits of so many levels, at most 256."""
    whole = 1 << max(1, (levels - 1).bit_length())
    for base in {max(2, levels), whole}:
        for size in range(1, _MOST_BYTES + 1):
            digits = 1
            limit = 1 << (_BITS * size)
            if base != whole:
                limit = min(limit, _MOST_ROUNDED)
            while base ** (digits + 1) <= limit:
                digits += 1
            yield _Words(base=base, digits=digits, size=size)


def _digits(
    building: Building, codes_NE: NDArray[np.signedinteger], words: _Words, ids: str
) -> str:
    """Return the codes of the rows of ids, float32 ``(..., E)``."""
    columns = codes_NE.shape[1]
    table = building.constant(_packed(codes_NE, words))
    picked = building.add("Gather", [table, ids])
    name = _whole(building, building.add("Cast", [picked], to=TensorProto.FLOAT), words, columns)
    if words.digits == 1:
        return name
    joined = building.add("Concat", _parted(building, name, words), axis=-1)
    if words.count(columns) * words.digits == columns:
        return joined
    bounds = [np.asarray([value], np.int64) for value in (0, columns, -1)]
    return building.add("Slice", [joined, *map(building.constant, bounds)])


def _packed(codes_NE: NDArray[np.signedinteger], words: _Words) -> NDArray[np.uint8]:
    rows, columns = codes_NE.shape
    count = words.count(columns)
    padded = np.zeros((rows, count * words.digits), np.uint32)
    padded[:, :columns] = codes_NE
    powers = words.base ** np.arange(words.digits, dtype=np.uint32)
    packed_NW = np.einsum("ndw,d->nw", padded.reshape(rows, words.digits, count), powers)
    parts = [(packed_NW >> np.uint32(_BITS * place)) & 0xFF for place in range(words.size)]
    return np.concatenate(parts, axis=1).astype(np.uint8)


def _whole(building: Building, name: str, words: _Words, columns: int) -> str:
    """Return the words of a row from their bytes."""
    if words.size == 1:
        return name
    sizes = building.constant(np.full(words.size, words.count(columns), np.int64))
    low, *higher = building.add_many("Split", [name, sizes], outputs=words.size, axis=-1)
    for place, part in enumerate(higher, start=1):
        worth = building.add("Mul", [part, _scalar(building, 1 << (_BITS * place))])
        low = building.add("Add", [low, worth])
    return low


def _parted(building: Building, name: str, words: _Words) -> list[str]:
    """Return every digit of the words: what is left of a division, of one after the other."""
    raised = name if words.is_shifted else building.add("Add", [name, _scalar(building, 0.5)])
    above = [name]
    for place in range(1, words.digits):
        part = building.add("Mul", [raised, _scalar(building, float(words.base) ** -place)])
        above.append(building.add("Floor", [part]))
    base = _scalar(building, words.base)
    found = [
        building.add("Sub", [own, building.add("Mul", [higher, base])])
        for own, higher in pairwise(above)
    ]
    return [*found, above[-1]]


def _scaled(building: Building, weight: StoredWeight, name: str, ids: str) -> str:
    """Multiply by the one scale, by that of each column, or by those of a row's group."""
    if not weight.groups:
        return building.add("Mul", [name, building.constant(weight.scale.reshape(()))])
    scale_EG = weight.scale.reshape(len(weight.integers_OI), -1)
    if weight.groups == 1:
        return building.add("Mul", [name, floats.constant(building, scale_EG[:, 0].copy())])
    scales = _of_group(building, scale_EG, ids, rows=weight.integers_OI.shape[1])
    return building.add("Mul", [name, scales])


def _of_group(building: Building, scale_EG: NDArray[np.float32], ids: str, *, rows: int) -> str:
    """Return the scales ``(..., E)`` of the groups of rows; ids below 0 count from the end."""
    count = scale_EG.shape[1]
    wide = building.add("Cast", [ids], to=TensorProto.INT64)
    row = building.add("Mod", [wide, building.constant(np.asarray(rows, np.int64))])
    group = building.add("Div", [row, building.constant(np.asarray(rows // count, np.int64))])
    return building.add("Gather", [floats.constant(building, scale_EG.T.copy()), group])


def _scalar(building: Building, value: float) -> str:
    return building.constant(np.asarray(value, np.float32))
