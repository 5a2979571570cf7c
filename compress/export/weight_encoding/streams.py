"""Store the integers of many tensors in one sequence, with the operators that decode it.

Every chain ends in a Gather from a codebook of int8, so a stream may hold any few integers (a
palette) and the codes need not be the integers themselves. All operators are standard ones that
ONNX Runtime evaluates once, when it loads the file.

Legend: N codes, K codes in one block or word, A blocks that occur.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from compress.export.weight_encoding import floats, prefix
from compress.export.weight_encoding.building import Building
from compress.export.weight_encoding.integer_spelling import INTEGERS
from compress.export.weight_encoding.prefix import Code
from compress.export.weight_encoding.spelling import PRICE, Spelling

_Number = TypeVar("_Number", bound=np.generic)
_BLOCKS = (1, 2, 3, 4, 5, 6, 9)
_MOST_BLOCKS = 4096
_COUNTABLE = 2**18
# The weights of the first bits are uint8: 2^7 at most.
_MOST_FIRST_BITS = 8
# The nodes that decode a table of blocks when it is itself stored as digits.
_TABLE_BYTES = 150


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A decoded sequence: a tensor of ``size`` values of ``itemsize`` bytes in any shape."""

    name: str
    size: int
    itemsize: int = 1


def radix(
    building: Building,
    values_N: NDArray[np.int8],
    spelling: Spelling = INTEGERS,
    *,
    word: type[np.integer[Any]],
) -> Stream:
    """Store codes as the digits of words that are not negative: five of three levels are a byte.

    ``ceil(N / K) * word`` bytes with ``K`` digits of base ``A`` in a word of 8 to 64 bits; decoded
    by ``codebook[word / A^k mod A]``.
    """
    codebook_A, codes_N = _places(values_N)
    base = max(2, len(codebook_A))
    digits = _digits(word, base)
    powers_K = np.array([base**k for k in range(digits)], word)
    codes_MK = _blocks(codes_N, digits).astype(word)
    words_M1 = (codes_MK * powers_K).sum(axis=1, dtype=word, keepdims=True)
    index = spelling.digits(building, words_M1, powers_K, base)
    building.temporaries += codes_MK.size
    name = building.add("Gather", [building.constant(codebook_A), index])
    return Stream(name=name, size=codes_MK.size)


def planes(building: Building, values_N: NDArray[np.int8], spelling: Spelling = INTEGERS) -> Stream:
    """Store codes of ``ceil(log2 A)`` bits each."""
    codebook_A, codes_N = _places(values_N)
    code = prefix.fixed(len(codebook_A))
    return _coded(building, spelling, code, codes_N, table_AK=codebook_A[:, None])


def huffman(
    building: Building, values_N: NDArray[np.int8], spelling: Spelling = INTEGERS
) -> Stream | None:
    """Store optimal prefix codes of blocks of values; None if a code gains nothing.

    ``sum(count * length) / 8`` bytes, the blocks' values and a call per level of the code. Blocks
    of three in a row of a kernel are not independent, so this can take less than the entropy of
    single weights.
    """
    best: tuple[float, Code, NDArray[np.int64], NDArray[np.int8]] | None = None
    for length in _BLOCKS:
        blocks_MK = _blocks(values_N, length)
        if len(blocks_MK) >= spelling.most_counted:
            continue
        table_AK, symbols_M, counts_A = _alphabet(blocks_MK)
        if not 2 <= len(table_AK) <= min(_MOST_BLOCKS, len(blocks_MK)):
            continue
        width = np.log2(1 + np.ptp(table_AK.astype(np.int16)))
        for code in prefix.optimal(counts_A):
            if code.levels > spelling.most_levels:
                continue
            memory = PRICE * spelling.level_temporaries * len(symbols_M)
            size = float(counts_A @ code.lengths_A) / 8
            size += (spelling.level_bytes + memory) * code.levels
            size += min(table_AK.size, _TABLE_BYTES + table_AK.size * width / 8)
            if code.shortest <= _MOST_FIRST_BITS and (best is None or size < best[0]):
                best = size, code, symbols_M, table_AK
    if best is None:
        return None
    _, code, symbols_M, table_AK = best
    return _coded(building, spelling, code, symbols_M, table_AK=table_AK)


def sparse(
    building: Building, values_N: NDArray[np.float32], spelling: Spelling = INTEGERS
) -> Stream | None:
    """Store a bit for every value, and the values that are not zero: ``N / 8 + 4 nonzeros`` bytes.

    A running count of the bits is the place of a value among those stored; zeros take the first.
    If float16 holds all of them, they take two bytes each. None if there are too many to count.
    """
    if len(values_N) >= spelling.most_counted:
        return None
    is_kept_N = values_N != 0
    plane = spelling.plane(building, is_kept_N)
    kept = np.concatenate([np.zeros(1, np.float32), values_N[is_kept_N]])
    index = spelling.kept(building, plane)
    building.temporaries += spelling.count_temporaries * len(values_N)
    name = building.add("Gather", [floats.constant(building, kept), index])
    return Stream(name=name, size=len(values_N), itemsize=4)


def unpacked(building: Building, spelling: Spelling = INTEGERS) -> Building:
    """Return the same piece, headed by the nodes that turn one blob into all of its ``bits``."""
    if not building.bits:
        return building
    head = Building(prefix=f"{building.prefix}bits")
    sizes = [len(plane) for plane in building.bits.values()]
    packed = np.packbits(np.concatenate(list(building.bits.values())), bitorder="little")
    flat = head.reshape(spelling.bits(head, packed), [8 * len(packed)])
    rest = [8 * len(packed) - sum(sizes)] if sum(sizes) < 8 * len(packed) else []
    names = [*building.bits, *(head.new_name() for _ in rest)]
    parts = head.constant(np.asarray([*sizes, *rest], np.int64))
    head.nodes.append(helper.make_node("Split", [flat, parts], names))
    building.bits.clear()
    head.include(building)
    return head


def _coded(
    building: Building,
    spelling: Spelling,
    code: Code,
    symbols_M: NDArray[np.int64],
    *,
    table_AK: NDArray[np.int8],
) -> Stream:
    first_ML, planes_L = code.planes(symbols_M)
    nodes = spelling.first_nodes(building, first_ML)
    # Inverted, and behind one bit that symbols before the first long one read in vain.
    inverted_L = [np.concatenate([np.zeros(1, np.uint8), 1 - plane]) for plane in planes_L]
    nodes = spelling.levels(building, nodes, code.bounds, inverted_L)
    building.temporaries += spelling.level_temporaries * len(symbols_M) * len(planes_L)
    table = _table(building, spelling, table_AK)
    name = building.add("Gather", [table, spelling.places(building, nodes)])
    size = len(symbols_M) * table_AK.shape[1]
    building.temporaries += size
    return Stream(name=name, size=size)


def _table(building: Building, spelling: Spelling, table_AK: NDArray[np.int8]) -> str:
    """Return the blocks of a code, as digits if the table is large enough to pay for decoding."""
    forms = [(plain := building.scratch(), plain.constant(table_AK))]
    for word in spelling.words:
        digits = radix(scratch := building.scratch(), table_AK.ravel(), spelling, word=word)
        flat = scratch.reshape(digits.name, [digits.size])
        (whole,) = scratch.split(flat, [table_AK.size], total=digits.size)
        forms.append((scratch, scratch.reshape(whole, table_AK.shape)))
    best, name = min(forms, key=lambda form: form[0].size_bytes)
    building.include(best)
    return name


def occurring(values: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the integers that occur, ascending."""
    counts = np.bincount(values.ravel().view(np.uint8), minlength=256)
    return np.sort(np.flatnonzero(counts).astype(np.uint8).view(np.int8))


def _places(values_N: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Return the integers that occur, and the place of each value among them."""
    codebook_A = occurring(values_N)
    place = np.zeros(256, np.int64)
    place[codebook_A.view(np.uint8)] = np.arange(len(codebook_A))
    return codebook_A, place[values_N.view(np.uint8)]


def _alphabet(
    blocks_MK: NDArray[np.int8],
) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]:
    """Return the blocks that occur, most frequent first, the place of each, and the counts."""
    length = blocks_MK.shape[1]
    low = int(blocks_MK.min())
    base = int(blocks_MK.max()) - low + 1
    if base**length >= 2**62:
        return blocks_MK[:0], np.zeros(0, np.int64), np.zeros(0, np.int64)
    powers_K = base ** np.arange(length, dtype=np.int64)
    keys_M = (blocks_MK.astype(np.int64) - low) @ powers_K
    keys_A, symbols_M, counts_A = _counted(keys_M, bound=base**length)
    order_A = np.argsort(-counts_A, kind="stable")
    place_A = np.empty_like(order_A)
    place_A[order_A] = np.arange(len(order_A))
    table_AK = (keys_A[order_A][:, None] // powers_K % base + low).astype(np.int8)
    return table_AK, place_A[symbols_M], counts_A[order_A]


def _counted(
    keys_M: NDArray[np.int64], *, bound: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return ``np.unique`` with places and counts, without sorting if keys are small."""
    if bound > _COUNTABLE:
        keys_A, symbols_M, counts_A = np.unique(keys_M, return_inverse=True, return_counts=True)
        return keys_A, symbols_M.ravel(), counts_A
    counts = np.bincount(keys_M, minlength=bound)
    keys_A = np.flatnonzero(counts)
    place = np.zeros(bound, np.int64)
    place[keys_A] = np.arange(len(keys_A))
    return keys_A, place[keys_M], counts[keys_A]


def _blocks(values_N: NDArray[_Number], length: int) -> NDArray[_Number]:
    """Return ``(ceil(N / K), K)``; the last block repeats the first value."""
    padding = np.repeat(values_N[:1], -len(values_N) % length)
    return np.concatenate([values_N, padding]).reshape(-1, length)


def _digits(word: type[np.integer[Any]], base: int) -> int:
    digits, largest = 0, int(np.iinfo(word).max) + 1
    while base ** (digits + 1) <= largest:
        digits += 1
    return digits
