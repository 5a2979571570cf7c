"""Files of weights that are no numbers are refused in words, whatever they are written as."""

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save

from compress.network.families import layout
from compress.network.sources import inspection, safetensors_header, weight_values
from compress.values.errors import InvalidWeights
from tests import factories

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
BAD = [float("nan"), float("inf"), float("-inf")]


def network(dtype=torch.float32):
    shapes = layout.tensor_shapes(factories.ARCHITECTURE, in_channels=1, num_classes=2)
    return {name: torch.ones(shape, dtype=dtype) for name, shape in shapes.items()}


def written(path, tensors, metadata=None):
    path.write_bytes(save(tensors, metadata))
    return path


def inspect(path):
    return inspection.inspect_weights(path, factories.ARCHITECTURE)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", BAD)
def test_weights_that_are_no_numbers_are_counted_and_named(tmp_path, dtype, value):
    tensors = network(DTYPES[dtype])
    name = next(name for name in tensors if name.endswith("conv1.weight"))
    tensors[name].flatten()[[0, 3]] = value
    with pytest.raises(InvalidWeights, match=rf"{name} \(2 of {tensors[name].numel()}\)"):
        inspect(written(tmp_path / "bad", tensors))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_and_smallest_numbers_are_numbers(tmp_path, dtype):
    tensors = network(DTYPES[dtype])
    info = torch.finfo(DTYPES[dtype])
    for tensor in tensors.values():
        tensor.flatten()[0] = info.max
        tensor.flatten()[-1] = info.smallest_normal / 2
    assert inspect(written(tmp_path / "good", tensors)).num_classes == 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_variance_below_zero_is_none(tmp_path, dtype):
    tensors = network(DTYPES[dtype])
    name = next(name for name in tensors if name.endswith("running_var"))
    tensors[name][1] = -1e-3
    with pytest.raises(InvalidWeights, match=rf"must not be negative: {name} \(1 of"):
        inspect(written(tmp_path / "bad", tensors))
    tensors[name][1] = -0.0
    assert inspect(written(tmp_path / "good", tensors)).num_classes == 2


def test_only_the_first_of_many_bad_tensors_are_named(tmp_path):
    tensors = {name: torch.full_like(tensor, torch.nan) for name, tensor in network().items()}
    with pytest.raises(InvalidWeights, match=rf"and {len(tensors) - 3} more"):
        inspect(written(tmp_path / "bad", tensors))


def test_bad_values_are_found_in_every_piece_of_a_large_tensor(tmp_path, monkeypatch):
    monkeypatch.setattr(weight_values, "_PIECE_BYTES", 16)
    values = torch.zeros(103)
    values[[0, 50, 102]] = torch.inf
    path = written(tmp_path / "bad", {"w": values})
    with pytest.raises(InvalidWeights, match=r"w \(3 of 103\)"):
        weight_values.check(path, safetensors_header.read(path))


def test_random_bits_are_counted_as_numpy_counts_them(tmp_path):
    bits = np.random.default_rng(0).integers(0, 2**16, 20_000, dtype=np.uint16)
    expected = int(np.count_nonzero(~np.isfinite(bits.view(np.float16))))
    path = written(tmp_path / "bad", {"w": torch.from_numpy(bits.view(np.float16))})
    with pytest.raises(InvalidWeights, match=rf"\({expected} of 20000\)"):
        weight_values.check(path, safetensors_header.read(path))


def test_metadata_of_texts_is_fine(tmp_path):
    path = written(tmp_path / "good", network(), {"format": "pt", "note": "é"})
    assert inspect(path).num_classes == 2


HEADERS = {
    "a number": ({"__metadata__": 5}, "object of texts"),
    "a list": ({"__metadata__": ["a"]}, "object of texts"),
    "nothing": ({"__metadata__": None}, "object of texts"),
    "numbers": ({"__metadata__": {"epoch": 5}}, "must hold texts"),
    "objects": ({"__metadata__": {"a": {"b": "c"}}}, "must hold texts"),
    "half a pair": ({"__metadata__": {"a": "\ud800"}}, "surrogate"),
    "half a pair as key": ({"__metadata__": {"\ud800": "a"}}, "surrogate"),
    "half a pair as name": ({"\ud800": {}}, "surrogate"),
    "half a pair as dtype": ({"w": {"dtype": "\ud800"}}, "surrogate"),
    "zero": ({"__metadata__": {"a": "b\x00"}}, "zero character"),
    "many": ({"__metadata__": {str(n): "" for n in range(1001)}}, "1001 keys"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_metadata_that_is_not_text_is_refused(tmp_path, name):
    document, words = HEADERS[name]
    header = json.dumps(document).encode()
    (tmp_path / "bad").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(InvalidWeights, match=words) as caught:
        safetensors_header.read(tmp_path / "bad")
    assert str(caught.value).encode()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "latin-1"])
def test_a_header_is_utf_8(tmp_path, encoding):
    header = json.dumps({"__metadata__": {"a": "é"}}, ensure_ascii=False).encode(encoding)
    (tmp_path / "bad").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(InvalidWeights, match="not JSON"):
        safetensors_header.read(tmp_path / "bad")
