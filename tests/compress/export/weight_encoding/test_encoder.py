from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper, numpy_helper

from compress.evaluation import runtime
from compress.export import counting, onnx_graph
from compress.export.weight_encoding import encoder, prefix, streams
from compress.export.weight_encoding.building import Building
from compress.export.weight_encoding.float_spelling import FLOATS
from compress.export.weight_encoding.integer_spelling import INTEGERS
from compress.network.graph import oldest
from compress.network.stored_weight import SparseFloat, StoredWeight
from compress.values.errors import NumericalError
from tests.compress.export.weight_encoding.encoded_files import bytes_of, bytes_read, file_of

QUICK = settings(max_examples=40, deadline=None)
SHAPES = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 7)),
    st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)),
)
FORMS = {"planes": streams.planes, "huffman": streams.huffman} | {
    f"digits of {word.__name__}": partial(streams.radix, word=word) for word in INTEGERS.words
}


def decoded(weights, decoding, form, transposed=()):
    """What ONNX Runtime makes of a file, by name of the weight."""
    outputs = []
    for name, weight in weights.items():
        shape = weight.values().shape[:: -1 if name in transposed else 1]
        kind = TensorProto.INT8 if form[name] == "int8" else TensorProto.FLOAT
        outputs.append((f"{name}.out", kind, shape))
    copies = [helper.make_node("Identity", [decoding.names[n]], [f"{n}.out"]) for n in weights]
    model = file_of(
        [*decoding.nodes, *copies], decoding.tensors.values(), outputs, decoding.functions
    )
    onnx.checker.check_model(model, full_check=True)
    opened = runtime.session(model.SerializeToString())
    return dict(zip(weights, opened.run(None, {}), strict=True))


def gaussian(shape, bits, *, seed=0):
    """Integers as a quantizer makes them, with a scale per channel."""
    top = 2 ** (bits - 1) - 1
    values = np.random.default_rng(seed).normal(size=shape) * max(1, top) / 2.5
    integers = np.clip(np.rint(values), -max(1, top), max(1, top)).astype(np.int8)
    scale = np.linspace(0.01, 0.02, shape[0], dtype=np.float32)
    return StoredWeight(integers_OI=integers, scale=scale)


ONES = StoredWeight(integers_OI=np.ones((4, 4, 2, 2), np.int8), scale=np.zeros((), np.float32))


@st.composite
def stored(draw):
    shape, bits = draw(SHAPES), draw(st.integers(1, 8))
    top = min(127, 2**bits - 1)
    low = draw(st.integers(-127, 127 - top))
    integers = draw(arrays.arrays(np.int8, shape, elements=st.integers(low, low + top)))
    per_channel = int(np.prod(shape[1:]))
    groups = [g for g in range(1, per_channel + 1) if per_channel % g == 0]
    scale_shape = draw(
        st.sampled_from([(), (1,), shape[:1], (shape[0], draw(st.sampled_from(groups)))])
    )
    scale = draw(arrays.arrays(np.float32, scale_shape, elements=st.floats(-2, 2, width=32)))
    return StoredWeight(integers_OI=integers, scale=scale)


@st.composite
def sparse(draw):
    elements = st.one_of(st.just(0.0), st.just(0.0), st.floats(-2, 2, width=32))
    return SparseFloat(values_OI=draw(arrays.arrays(np.float32, draw(SHAPES), elements=elements)))


@given(
    codes=arrays.arrays(np.int8, st.integers(1, 300), elements=st.integers(-127, 127)),
    levels=st.integers(1, 255),
    form=st.sampled_from(sorted(FORMS)),
)
@QUICK
def test_every_form_decodes_to_exactly_the_codes_it_was_given(codes, levels, form):
    codes = (codes.astype(int) % levels - levels // 2).astype(np.int8)
    building = Building(prefix="w")
    stream = FORMS[form](building, codes)
    if stream is None:
        assert form == "huffman"
        return
    answer, _ = decoded_stream(building, stream)
    np.testing.assert_array_equal(answer[: len(codes)], codes)


def decoded_stream(building, stream):
    """What ONNX Runtime makes of a stream in the oldest opset, and the model."""
    whole = streams.unpacked(building)
    flat = whole.reshape(stream.name, [stream.size])
    model = file_of(
        whole.nodes,
        whole.tensors.values(),
        [(flat, TensorProto.INT8, [stream.size])],
        whole.functions.values(),
    )
    oldest.lower(model)
    assert model.opset_import[0].version == 13
    onnx.checker.check_model(model, full_check=True)
    (answer,) = runtime.session(model.SerializeToString()).run(None, {})
    return answer, model


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("size", [100, 90_000])
def test_no_form_divides_unsigned_integers(form, size):
    codes = np.clip(np.random.default_rng(0).normal(size=size) * 2, -6, 6).astype(np.int8)
    building = Building(prefix="w")
    stream = FORMS[form](building, codes)
    if stream is None:
        return
    answer, model = decoded_stream(building, stream)
    np.testing.assert_array_equal(answer[: len(codes)], codes)
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    divided = {types[n.input[0]] for n in graph.node if n.op_type in {"Div", "Mod"}}
    assert divided <= {TensorProto.INT32, TensorProto.INT64}
    assert divided


@given(
    weights=st.lists(st.one_of(stored(), sparse()), min_size=1, max_size=5),
    data=st.data(),
)
@QUICK
def test_a_file_holds_exactly_the_weights_in_the_form_and_the_axes_asked_for(weights, data):
    named = {f"layer{index}": weight for index, weight in enumerate(weights)}
    form, transposed = {}, set()
    for name, weight in named.items():
        kinds = ["float"] if isinstance(weight, SparseFloat) else ["float", "int8"]
        form[name] = data.draw(st.sampled_from(kinds))
        if weight.values().ndim == 2 and data.draw(st.booleans()):
            transposed.add(name)
    spelling = data.draw(st.sampled_from([INTEGERS, FLOATS]))
    decoding = encoder.encode(named, form=form, transposed=transposed, spelling=spelling)
    for name, answer in decoded(named, decoding, form, transposed).items():
        weight = named[name]
        expected = weight.integers_OI if form[name] == "int8" else weight.values()
        np.testing.assert_array_equal(answer, expected.T if name in transposed else expected)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("form", ["int8", "float"])
def test_a_network_takes_hardly_more_than_the_entropy_of_its_weights(bits, form):
    shapes = [(16, 3, 3, 3), *[(16, 16, 3, 3)] * 4, (32, 16, 3, 3), *[(32, 32, 3, 3)] * 4, (10, 32)]
    weights = {f"c{i}": gaussian(shape, bits, seed=i) for i, shape in enumerate(shapes)}
    forms = dict.fromkeys(weights, form)
    decoding = encoder.encode(weights, form=forms)
    answers = decoded(weights, decoding, forms)
    for name, weight in weights.items():
        expected = weight.integers_OI if form == "int8" else weight.values()
        np.testing.assert_array_equal(answers[name], expected)
    integers = np.concatenate([w.integers_OI.ravel() for w in weights.values()])
    share = np.unique(integers, return_counts=True)[1] / len(integers)
    entropy_bytes = -(share @ np.log2(share)) * len(integers) / 8
    scales = 0 if form == "int8" else 4 * sum(len(w.scale) for w in weights.values())
    assert bytes_of(decoding) < 1.03 * entropy_bytes + scales + 1200


@pytest.mark.parametrize("fill", [0, 5, -127])
def test_equal_weights_take_a_bit_each_at_most(fill):
    integers = np.full((32, 32, 3, 3), fill, np.int8)
    weights = {"w": StoredWeight(integers_OI=integers, scale=np.float32(0.5).reshape(()))}
    decoding = encoder.encode(weights, form={"w": "int8"})
    np.testing.assert_array_equal(decoded(weights, decoding, {"w": "int8"})["w"], integers)
    assert bytes_of(decoding) < integers.size / 8 + 250


@given(weights=st.lists(stored(), min_size=1, max_size=3))
@example(weights=[ONES, ONES])
@QUICK
def test_no_file_is_larger_than_one_with_int8_initializers(weights):
    named = {f"layer{index}": weight for index, weight in enumerate(weights)}
    form = dict.fromkeys(named, "int8")
    plain = {name: numpy_helper.from_array(w.integers_OI, name) for name, w in named.items()}
    assert bytes_of(encoder.encode(named, form=form)) <= bytes_read([], plain, plain)


@pytest.mark.parametrize("form", ["int8", "float"])
def test_equal_weights_are_stored_once(form):
    one, other = gaussian((16, 16, 3, 3), 4), gaussian((16, 16, 3, 3), 4, seed=1)
    twins = {"a": one, "b": replace(one), "c": other}
    decoding = encoder.encode(twins, form=dict.fromkeys(twins, form))
    assert decoding.names["a"] == decoding.names["b"] != decoding.names["c"]
    pair = encoder.encode({"a": one, "c": other}, form={"a": form, "c": form})
    assert bytes_of(decoding) == bytes_of(pair)
    found = decoded(twins, decoding, dict.fromkeys(twins, form))
    for name, weight in twins.items():
        expected = weight.integers_OI if form == "int8" else weight.values()
        np.testing.assert_array_equal(found[name], expected)


def test_equal_integers_under_other_scales_are_equal_only_as_integers():
    one = gaussian((16, 16, 3, 3), 4)
    scaled = {"a": one, "b": replace(one, scale=2 * one.scale)}
    integers, floats = (
        encoder.encode(scaled, form=dict.fromkeys(scaled, form)).names for form in ("int8", "float")
    )
    assert integers["a"] == integers["b"]
    assert floats["a"] != floats["b"]


def test_the_chosen_form_is_the_smallest_of_those_that_fit_in_memory():
    weights = {"w": gaussian((64, 64, 3, 3), 3)}
    sizes, temporaries = [], []
    for most_bytes in (0, 15 * 36864, 2**29):
        decoding = encoder.encode(weights, form={"w": "int8"}, most_bytes=most_bytes)
        sizes.append(bytes_of(decoding))
        temporaries.append(decoding.temporary_bytes)
        np.testing.assert_array_equal(
            decoded(weights, decoding, {"w": "int8"})["w"], weights["w"].integers_OI
        )
    assert all(after < before for before, after in pairwise(sizes))
    assert temporaries[0] <= 36864
    assert temporaries[1] <= 15 * 36864 < temporaries[2]


def test_a_palette_of_its_own_in_every_layer_costs_no_more_than_places_in_it():
    rng = np.random.default_rng(0)
    weights = {}
    for index in range(4):
        palette = rng.choice(np.arange(-127, 128), 16, replace=False).astype(np.int8)
        scale = np.asarray(0.01 * (index + 1), np.float32)
        weights[f"c{index}"] = StoredWeight(
            integers_OI=rng.choice(palette, (32, 32, 3, 3)), scale=scale
        )
    for form in ("int8", "float"):
        forms = dict.fromkeys(weights, form)
        decoding = encoder.encode(weights, form=forms)
        answers = decoded(weights, decoding, forms)
        for name, weight in weights.items():
            expected = weight.integers_OI if form == "int8" else weight.values()
            np.testing.assert_array_equal(answers[name], expected)
        assert bytes_of(decoding) < 4 * 32 * 32 * 9 / 2 + 900


def test_zeros_of_a_float_weight_take_a_bit_each():
    rng = np.random.default_rng(0)
    values = np.where(rng.random((64, 32, 3, 3)) < 0.8, 0, rng.normal(size=(64, 32, 3, 3)))
    weights = {"w": SparseFloat(values_OI=values.astype(np.float32))}
    decoding = encoder.encode(weights, form={"w": "float"})
    np.testing.assert_array_equal(
        decoded(weights, decoding, {"w": "float"})["w"], weights["w"].values()
    )
    expected = 4 * np.count_nonzero(values) + values.size / 8
    assert expected < bytes_of(decoding) < expected + 350


def test_a_dense_float_weight_is_stored_as_it_is():
    values = np.random.default_rng(0).normal(size=(16, 9)).astype(np.float32)
    decoding = encoder.encode({"w": SparseFloat(values_OI=values)}, form={"w": "float"})
    assert decoding.nodes == []
    assert len(decoding.tensors) == 1


@given(counts=st.lists(st.integers(1, 10**6), min_size=2, max_size=300))
@QUICK
def test_codes_are_complete_and_the_unbounded_one_is_as_short_as_huffmans(counts):
    descending = np.sort(np.array(counts))[::-1].copy()
    codes = prefix.optimal(descending)
    for code in codes:
        kraft = float((0.5**code.lengths_A).sum())
        assert kraft == pytest.approx(1.0)
    totals = [int(descending @ code.lengths_A) for code in codes]
    assert all(after <= before for before, after in pairwise(totals))
    heap = sorted(counts)
    huffman = 0
    while len(heap) > 1:
        both = heap[0] + heap[1]
        huffman += both
        heap = sorted([*heap[2:], both])
    assert totals[-1] >= huffman
    if codes[-1].lengths_A[-1] < prefix.LONGEST:
        assert totals[-1] == huffman


def quantized_network(bits, form):
    """Three convolutions between grids, a classifier, and a decoding of their weights."""
    weights = {f"c{index}": gaussian((32, 32, 3, 3), bits, seed=index) for index in range(3)}
    weights["classifier"] = gaussian((10, 32), bits, seed=9)
    forms = dict.fromkeys(weights, form) | {"classifier": "float"}
    vectors = {f"b{index}": np.linspace(-1, 1, 32, dtype=np.float32) for index in range(3)}
    if form == "int8":
        vectors |= {f"scale{index}": weights[f"c{index}"].scale for index in range(3)}
    decoding = encoder.encode(weights, form=forms, transposed={"classifier"}, vectors=vectors)
    constants = {"axes": np.array([2, 3])}
    if form == "int8":
        constants |= {"s": np.float32(0.05), "z": np.uint8(0)}
    nodes, x = [], "input"
    for index in range(3):
        w, bias = decoding.names[f"c{index}"], decoding.names[f"b{index}"]
        if form == "int8":
            scale = decoding.names[f"scale{index}"]
            nodes.append(helper.make_node("DequantizeLinear", [w, scale], [f"w{index}"], axis=0))
            w = f"w{index}"
            nodes.append(helper.make_node("QuantizeLinear", [x, "s", "z"], [f"q{index}"]))
            nodes.append(
                helper.make_node("DequantizeLinear", [f"q{index}", "s", "z"], [f"x{index}"])
            )
            x = f"x{index}"
        nodes.append(helper.make_node("Conv", [x, w, bias], [f"y{index}"], pads=[1, 1, 1, 1]))
        x = f"y{index}"
    if form == "int8":
        nodes.append(helper.make_node("QuantizeLinear", [x, "s", "z"], ["q"]))
        nodes.append(helper.make_node("DequantizeLinear", ["q", "s", "z"], ["f"]))
        x = "f"
    nodes.append(helper.make_node("ReduceMean", [x, "axes"], ["p"], keepdims=0))
    nodes.append(helper.make_node("Gemm", ["p", decoding.names["classifier"]], ["logits"]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [*decoding.nodes, *nodes],
        "g",
        [value("input", TensorProto.FLOAT, ["N", 32, 8, 8])],
        [value("logits", TensorProto.FLOAT, ["N", 10])],
        [
            *decoding.tensors.values(),
            *(numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    decoding.declare(model)
    return model


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(("form", "kernel"), [("int8", "QLinearConv"), ("float", "Conv")])
def test_decoding_is_over_once_the_file_is_loaded_and_kernels_are_fused(
    bits, form, kernel, tmp_path
):
    model = quantized_network(bits, form)
    onnx_graph.compact(model)
    onnx.checker.check_model(model, full_check=True)
    runtime.session(model.SerializeToString(), dump=tmp_path / "executed.onnx")
    executed = onnx.load(tmp_path / "executed.onnx")
    kinds = Counter(node.op_type for node in executed.graph.node)
    assert kinds[kernel] == 3
    allowed = {
        "QLinearConv",
        "Conv",
        "Gemm",
        "ReduceMean",
        "QuantizeLinear",
        "DequantizeLinear",
        "ReorderInput",
        "ReorderOutput",
        "Transpose",
        "FusedConv",
    }
    assert set(kinds) <= allowed


@pytest.mark.parametrize("form", ["int8", "float"])
def test_counts_do_not_depend_on_the_form_that_stores_a_weight(form):
    counts = counting.count(quantized_network(4, form))
    assert counts.parameters == 3 * 32 * 32 * 9 + 32 + 32 * 10
    assert counts.macs == 3 * 64 * 32 * 32 * 9 + 32 * 10


def test_weights_are_added_to_a_model_before_the_nodes_that_read_them():
    weights = {"w": gaussian((64, 64), 2)}
    model = file_of(
        [helper.make_node("Identity", ["w.float"], ["out"])],
        [],
        [("out", TensorProto.FLOAT, [64, 64])],
    )
    names = encoder.add_weights(model, weights, form={"w": "float"})
    model.graph.node[-1].input[0] = names["w"]
    (answer,) = runtime.session(model.SerializeToString()).run(None, {})
    np.testing.assert_array_equal(answer, weights["w"].values())


def test_encoding_is_deterministic():
    weights = {f"c{index}": gaussian((16, 16, 3, 3), 4, seed=index) for index in range(3)}
    form = dict.fromkeys(weights, "int8")
    first, second = (encoder.encode(weights, form=form) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("integers", "scale", "error", "said"),
    [
        (np.full((2, 3), -128, np.int8), np.float32(1), ValueError, "-128"),
        (np.zeros((2, 3), np.int16), np.float32(1), ValueError, "int8"),
        (np.zeros(3, np.int8), np.float32(1), ValueError, "shape"),
        (np.zeros((0, 3), np.int8), np.float32(1), ValueError, "nothing"),
        (np.zeros((2, 3), np.int8), np.float32(np.nan), NumericalError, "NaN"),
        (np.zeros((2, 3), np.int8), np.float32([1, np.inf]), NumericalError, "infinite"),
        (np.zeros((2, 3), np.int8), np.float32([1, 2, 3]), ValueError, "do not fit"),
        (np.zeros((2, 3), np.int8), np.ones((2, 2), np.float32), ValueError, "do not fit"),
        (np.zeros((2, 3), np.int8), np.float64(1), ValueError, "float32"),
    ],
)
def test_a_weight_that_no_form_can_hold_is_refused(integers, scale, error, said):
    with pytest.raises(error, match=said):
        StoredWeight(integers_OI=integers, scale=np.asarray(scale))


def test_a_float_weight_that_is_not_finite_is_refused():
    with pytest.raises(NumericalError, match="NaN"):
        SparseFloat(values_OI=np.full((2, 2), np.nan, np.float32))


def test_a_request_that_cannot_be_met_is_refused():
    matrix = gaussian((4, 4), 4)
    with pytest.raises(ValueError, match="has no form"):
        encoder.encode({"w": matrix}, form={})
    with pytest.raises(ValueError, match="cannot be transposed"):
        encoder.encode({"w": gaussian((4, 4, 1, 1), 4)}, form={"w": "int8"}, transposed={"w"})
    with pytest.raises(ValueError, match="cannot be stored as int8"):
        encoder.encode(
            {"w": SparseFloat(values_OI=np.zeros((2, 2), np.float32))}, form={"w": "int8"}
        )
    assert encoder.encode({}, form={}).nodes == []
