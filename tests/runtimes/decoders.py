"""Every packing of weights, alone: a file without inputs for each, and what it has to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, helper

from compress.export.weight_encoding import floats, half_floats, initializers, streams
from compress.export.weight_encoding.building import Building
from compress.export.weight_encoding.encoder import Decoding
from compress.export.weight_encoding.float_spelling import FLOATS
from compress.export.weight_encoding.integer_spelling import INTEGERS
from compress.export.weight_encoding.layout import EncodedWeight
from compress.export.weight_encoding.spelling import Spelling
from compress.export.weight_encoding.streams import Stream
from compress.network.graph import oldest
from compress.network.stored_weight import StoredWeight
from tests.runtimes.files import AS_MADE, port

Values = NDArray[np.generic]
Packing = Callable[[Building, Values, Spelling], Stream | None]
SPELLINGS: Mapping[str, Spelling] = {"portable": FLOATS, AS_MADE: INTEGERS}
SIZES = (1, 2, 7, 17, 1001)
_MOST_OF_INT4 = 7


def files(spelling: Spelling) -> Iterator[tuple[str, ModelProto, list[Values]]]:
    """Yield the name of each packing, a file of many decoders, and what that must answer."""
    digits = {f"digits of {w.__name__}": partial(streams.radix, word=w) for w in spelling.words}
    integers = {**digits, "planes": streams.planes, "prefix code": streams.huffman, "own": _own}
    in_float = {
        "bit mask": streams.sparse,
        "float16": half_floats.whole,
        "float16, upper byte coded": half_floats.coded,
    }
    for name, packing in integers.items():
        yield name, *_file(spelling, packing, integer_values())
    for name, packing in in_float.items():
        yield name, *_file(spelling, packing, float_values())
    vectors = [np.arange(n, dtype=np.int32) * 7 for n in SIZES]
    yield "vectors", *_file(spelling, _vector, iter([*float_values(), *vectors]))


def integer_values() -> Iterator[Values]:
    """All bit-widths with all of their levels and one fewer, in sizes that no block divides."""
    random = np.random.default_rng(0)
    for bits in range(1, 9):
        for levels in (2**bits - 1, 2**bits):
            for size in SIZES:
                spread = np.rint(random.normal(size=size) * levels / 6)
                least = max(-127, -(levels // 2))
                yield np.clip(spread, least, min(127, least + levels - 1)).astype(np.int8)
    yield np.arange(-127, 128).astype(np.int8)
    yield np.zeros(33, np.int8)
    yield np.full(8, -127, np.int8)


def float_values() -> Iterator[Values]:
    """Values that float16 holds: without zeros, with many, and nothing else."""
    random = np.random.default_rng(1)
    for size in SIZES:
        for share in (0.0, 0.6, 1.0):
            kept = random.normal(size=size) * (random.random(size) >= share)
            yield (kept.astype(np.float16) + np.float16(0)).astype(np.float32)


def _file(
    spelling: Spelling, packing: Packing, given: Iterator[Values]
) -> tuple[ModelProto, list[Values]]:
    """Return a file in the oldest opset that answers what the packing holds, and the values."""
    whole, ports, expected = Building(prefix="all"), [], []
    for number, values in enumerate(given):
        building = Building(prefix=f"d{number}.")
        stream = packing(building, values, spelling)
        if stream is None:
            continue
        flat = building.reshape(stream.name, [stream.size])
        (part,) = building.split(flat, [len(values)], total=stream.size)
        whole.include(streams.unpacked(building, spelling))
        ports.append(port(part, values))
        expected.append(values)
    graph = helper.make_graph(whole.nodes, "decoders", [], ports, [*whole.tensors.values()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    functions = [*whole.functions.values()]
    Decoding(names={}, nodes=[], tensors={}, functions=functions, temporary_bytes=0).declare(model)
    oldest.lower(model)
    onnx.checker.check_model(model, full_check=True)
    return model, expected


def _own(building: Building, values: Values, spelling: Spelling) -> Stream | None:
    """Initializers of their own: INT4 where the spelling has it."""
    if spelling.has_int4 and np.abs(values).max() > _MOST_OF_INT4:
        return None
    weight = StoredWeight(integers_OI=values.reshape(1, -1).astype(np.int8), scale=np.ones((), "f"))
    item = EncodedWeight(name="w", weight=weight, is_float=False, transposed=False)
    name = initializers.own(building, item, spelling)
    return Stream(name=name, size=len(values), itemsize=1)


def _vector(building: Building, values: Values, spelling: Spelling) -> Stream | None:
    """Scales or biases, two at a time: half of the bytes where that is exact."""
    del spelling
    names = floats.pooled(building, {"a": values, "b": values[::-1].copy()})
    return Stream(name=names["a"], size=len(values), itemsize=4)
