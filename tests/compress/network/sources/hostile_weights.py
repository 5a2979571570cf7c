"""safetensors files that are refused, each with words that its message must hold. Made by code."""

import json
import struct

import numpy as np
import safetensors.numpy

from compress.network.families import layout
from compress.network.families.residual.config import Residual

ARCHITECTURE = Residual(widths=(4, 8), depths=(1, 1), shortcut="pad")
SIZE = {"in_channels": 3, "num_classes": 5}


def tensors(**changes):
    shapes = layout.tensor_shapes(ARCHITECTURE, **SIZE)
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()} | changes


def header(document, data=b"", length=None):
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(begin, end, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def one(**changes):
    """A file of one tensor of one number, and what changes in its entry."""
    return header({"a": entry(0, 4) | changes}, bytes(4))


def saved(**changes):
    return safetensors.numpy.save(tensors(**changes))


def named(name):
    return header({name: entry(0, 4)}, bytes(4))


NATURAL = "natural numbers"
NO_NUMBERS = r"NaN or infinite: bn1.bias \(4 of 4\)"
HOSTILE = {
    "empty": (b"", "is empty|at least 8 bytes"),
    "short": (b"\x01234567", "at least 8 bytes"),
    "long header": (header({}, length=2**63), "expected at most"),
    "a header beyond the end": (header({}, length=3), "expected at most 2"),
    "a header of nothing": (header(b""), "not JSON"),
    "no JSON": (header(b"{,"), "not JSON"),
    "JSON and more": (header(b"{}{}"), "not JSON"),
    "Python": (header(b"{'a': __import__('os')}"), "not JSON"),
    "deep JSON": (header(b"[" * 100_000), "not JSON"),
    "deep objects": (header(b'{"a":' * 100_000), "not JSON"),
    "very many digits": (header(b'{"a": ' + b"9" * 5000 + b"}"), "not JSON"),
    "UTF-16": (header("{}".encode("utf-16")), "not JSON"),
    "Latin-1": (header(b'{"\xe9": 1}'), "not JSON"),
    "a byte order mark": (header(b"\xef\xbb\xbf{}"), "not JSON"),
    "a list": (header([]), "JSON object"),
    "a number": (header(7), "JSON object"),
    "repeated name": (header(b'{"a": 1, "a": 2}'), "twice"),
    "repeated field": (header(b'{"a": {"dtype": "F32", "dtype": "F16"}}'), "twice"),
    "half a surrogate pair": (header(b'{"\\ud800": 1}'), "surrogate"),
    "a zero character": (header(b'{"\\u0000": 1}'), "zero character"),
    "very many tensors": (
        header({str(n): entry(0, 0, (0,)) for n in range(20_001)}),
        "at most 20000 tensors",
    ),
    "metadata of numbers": (header({"__metadata__": {"a": 1}}), "must hold texts"),
    "metadata in a list": (header({"__metadata__": []}), "must be a JSON object"),
    "no entry": (header({"a": 3}), "must say dtype"),
    "half an entry": (header({"a": {"dtype": "F32"}}), "must say dtype"),
    "more than an entry": (one(strides=[1]), "must say dtype"),
    "pickled dtype": (one(dtype="pickle"), "dtype 'pickle'"),
    "list dtype": (one(dtype=["F32"]), "dtype"),
    "double": (header({"a": entry(0, 8, dtype="F64")}, bytes(8)), "dtype 'F64'"),
    "8-bit floats": (header({"a": entry(0, 1, dtype="F8_E4M3")}, bytes(1)), "dtype 'F8_E4M3'"),
    "complex": (header({"a": entry(0, 8, dtype="C64")}, bytes(8)), "dtype 'C64'"),
    "negative": (one(shape=[-1]), NATURAL),
    "huge": (one(shape=[2**70]), NATURAL),
    "infinite": (one(shape=[float("inf")]), NATURAL),
    "not a number": (one(shape=[float("nan")]), NATURAL),
    "half a row": (one(shape=[1.0]), NATURAL),
    "true rows": (one(shape=[True]), NATURAL),
    "a shape of texts": (one(shape=["1"]), NATURAL),
    "a shape in a text": (one(shape="1"), NATURAL),
    "many dimensions": (one(shape=[1] * 9), "at most 8"),
    "one offset": (one(data_offsets=[4]), "needs 4 bytes"),
    "three offsets": (one(data_offsets=[0, 2, 4]), NATURAL),
    "offsets that go back": (one(data_offsets=[4, 0]), "needs 4 bytes"),
    "wrong size": (header({"a": entry(0, 8)}, bytes(8)), "needs 4 bytes"),
    "a size that overflows": (
        header({"a": entry(0, 0, (2**40, 2**40))}),
        "needs 4835703278458516698824704 bytes",
    ),
    "gap": (header({"a": entry(4, 8)}, bytes(8)), "no gaps"),
    "overlap": (header({"a": entry(0, 4), "b": entry(0, 4)}, bytes(4)), "no overlaps"),
    "trailing": (header({"a": entry(0, 4)}, bytes(9)), "the file holds 9"),
    "truncated": (header({"a": entry(0, 4)}, bytes(3)), "the file holds 3"),
    "cut": (saved()[:-1], "the file holds"),
    "nothing in it": (safetensors.numpy.save({}), "'conv1.weight'"),
    "no stem": (named("linear.weight"), "'conv1.weight' with 4"),
    "a path as a name": (named("../../etc/passwd"), "'conv1.weight'"),
    "a very long name": (named("x" * 100_000), "'conv1.weight'"),
    "a stranger": (saved(extra=np.zeros(3, np.float32)), "unknown: extra"),
    "integers": (saved(**{"bn1.bias": np.zeros(4, np.int64)}), "I64 in bn1.bias"),
    "another shape": (saved(**{"bn1.bias": np.zeros(5, np.float32)}), r"bn1.bias is \(5,\)"),
    "a stem of no channels": (
        saved(**{"conv1.weight": np.zeros((4, 0, 3, 3), np.float32)}),
        "'conv1.weight' with 4 dimensions",
    ),
    "NaN": (
        saved(**{"bn1.bias": np.full(4, np.nan, np.float32)}),
        NO_NUMBERS,
    ),
    "infinity": (
        saved(**{"bn1.bias": np.full(4, np.inf, np.float32)}),
        NO_NUMBERS,
    ),
    "negative variance": (
        saved(**{"bn1.running_var": np.full(4, -1, np.float32)}),
        "bn1.running_var",
    ),
}
