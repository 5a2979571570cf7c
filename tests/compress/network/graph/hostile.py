"""Files that are refused, each with words that its message must hold. Made by code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node, make_opsetid, make_tensor_value_info

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Corpus = dict[str, tuple[Callable[[], bytes], str]]
FILES: Corpus = {}


def refused(words, corpus=FILES):
    """Enter the file that a function makes, and the words of its refusal."""

    def enter(make):
        corpus[make.__name__] = (make, words)
        return make

    return enter


def weight(name, *shape, value=0.5, dtype=np.float32):
    return numpy_helper.from_array(np.full(shape, value, dtype), name)


def integers(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def model(nodes, tensors=(), *, shape=("N", 4), answer=("N", 3), opset=17, **more):
    """A file of these nodes from ``x`` to ``y``, unchecked."""
    inputs = more.pop("inputs", [make_tensor_value_info("x", FLOAT, shape)])
    outputs = more.pop("outputs", [make_tensor_value_info("y", FLOAT, answer)])
    info = more.pop("value_info", None)
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(tensors), value_info=info)
    imports = [make_opsetid("", opset), *more.pop("imports", ())]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **more)


def data(*args, **more):
    return model(*args, **more).SerializeToString()


LINEAR = [make_node("Gemm", ["x", "w"], ["y"], name="head")]
W = weight("w", 4, 3)


def ending(*nodes, tensors=(), **more):
    """A linear layer, then these nodes from ``h`` to ``y``."""
    first = make_node("Gemm", ["x", "w"], ["h"], name="head")
    return data([first, *nodes], [W, *tensors], **more)


@refused("holds no graph")
def empty():
    return b""


@refused("not an ONNX model")
def text():
    return b"solver: {type: sgd}\n" * 100


@refused("not an ONNX model")
def cut_short():
    return data(LINEAR, [W])[:-9]


@refused("holds no graph")
def no_graph():
    return onnx.ModelProto(ir_version=8, producer_name="x").SerializeToString()


@refused(r"opset \[99\].*expected one from 7")
def opset_of_the_future():
    return data(LINEAR, [W], opset=99)


@refused(r"opset \[3\].*expected one from 7")
def opset_of_the_past():
    return data(LINEAR, [W], opset=3)


@refused("opset none")
def no_opset():
    made = model(LINEAR, [W])
    del made.opset_import[:]
    return made.SerializeToString()


@refused("tensor 'w' lies in another file")
def external_data():
    made = model(LINEAR, [W])
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return made.SerializeToString()


@refused("tensor '' lies in another file")
def external_data_in_an_attribute():
    hidden = TensorProto(dims=[3], data_type=FLOAT, data_location=TensorProto.EXTERNAL)
    hidden.external_data.add(key="location", value="/etc/passwd")
    constant = make_node("Constant", [], ["c"], name="k")
    constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR, t=hidden)
    return ending(constant, make_node("Add", ["h", "c"], ["y"]))


@refused(r"my\.ops\.Fancy \(node 'f'\) is no operator of ONNX.*custom")
def custom_operator():
    imports = [make_opsetid("my.ops", 1)]
    return ending(make_node("Fancy", ["h"], ["y"], name="f", domain="my.ops"), imports=imports)


@refused(r"Frobnicate \(node 'f'\) is no operator of opset 17")
def operator_that_does_not_exist():
    return ending(make_node("Frobnicate", ["h"], ["y"], name="f"))


@refused(r"DynamicQuantizeLinear \(node 'q'\) is of dynamic quantization: upload the float")
def dynamically_quantized():
    nodes = [
        make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="q"),
        make_node("MatMulInteger", ["q", "w8", "z"], ["i"]),
        make_node("Cast", ["i"], ["y"], to=FLOAT),
    ]
    return data(nodes, [weight("w8", 4, 3, value=3, dtype=np.uint8)])


@refused(r"QLinearMatMul \(node 'm'\) is of the QOperator form: upload the float")
def qoperator():
    names = ["q", "s", "z", "w8", "s", "z", "s", "z"]
    nodes = [
        make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        make_node("QLinearMatMul", names, ["r"], name="m"),
        make_node("DequantizeLinear", ["r", "s", "z"], ["y"]),
    ]
    tensors = [weight("w8", 4, 3, value=3, dtype=np.uint8), weight("s"), weight("z", dtype="u1")]
    return data(nodes, tensors)


@refused(r"com\.microsoft\.QGemm \(node 'm'\) is of quantized operators: upload the float")
def quantized_by_another_house():
    imports = [make_opsetid("com.microsoft", 1)]
    node = make_node("QGemm", ["h", "w"], ["y"], name="m", domain="com.microsoft")
    return ending(node, imports=imports)


@refused(r"(Dequant|Quant)izeLinear \(node '\w+'\) has a grid that is computed")
def quantized_by_a_computed_grid():
    nodes = [
        make_node("ReduceMax", ["h"], ["s"], keepdims=0),
        make_node("QuantizeLinear", ["h", "s"], ["q"], name="q"),
        make_node("DequantizeLinear", ["q", "s"], ["y"], name="d"),
    ]
    return ending(*nodes)


@refused("Sequence|sequences")
def a_sequence():
    nodes = [
        make_node("SequenceEmpty", [], ["s"], name="empty"),
        make_node("SequenceInsert", ["s", "h"], ["t"], name="insert"),
        make_node("ConcatFromSequence", ["t"], ["y"], axis=0),
    ]
    return ending(*nodes)


@refused("'x' is of type STRING|strings")
def strings():
    nodes = [make_node("StringNormalizer", ["x"], ["y"], name="lower")]
    inputs = [make_tensor_value_info("x", TensorProto.STRING, ["N"])]
    return data(nodes, inputs=inputs)


@refused("'s' is no tensor")
def a_sequence_that_goes_in():
    inputs = [
        make_tensor_value_info("x", FLOAT, ["N", 4]),
        helper.make_tensor_sequence_value_info("s", FLOAT, None),
    ]
    return data(LINEAR, [W], inputs=inputs)


@refused(r"RandomNormal \(node 'noise'\) draws random numbers")
def random_numbers():
    noise = make_node("RandomNormal", [], ["n"], name="noise", shape=[1, 3])
    return ending(noise, make_node("Add", ["h", "n"], ["y"]))


@refused(r"(Add|Relu) \(node '\w+'\) lies on a cycle")
def a_cycle():
    return ending(
        make_node("Add", ["h", "b"], ["a"], name="one"),
        make_node("Relu", ["a"], ["b"], name="two"),
        make_node("Neg", ["b"], ["y"]),
    )


@refused("several tensors have one name: h")
def a_name_made_twice():
    return ending(make_node("Relu", ["h"], ["h"]), make_node("Neg", ["h"], ["y"]))


@refused("several tensors have one name: w")
def a_weight_made_again():
    return data([make_node("Relu", ["x"], ["w"]), *LINEAR], [W])


@refused("several tensors have one name: w")
def two_weights_of_one_name():
    return data(LINEAR, [W, W])


@refused(r"Add \(node 'a'\) reads 'nowhere', which nothing makes")
def a_tensor_from_nowhere():
    return ending(make_node("Add", ["h", "nowhere"], ["y"], name="a"))


@refused("nothing makes the output 'z'")
def an_output_from_nowhere():
    return data(LINEAR, [W], outputs=[make_tensor_value_info("z", FLOAT, ["N", 3])])


@refused("no outputs")
def no_outputs():
    return data(LINEAR, [W], outputs=[])


@refused("no inputs")
def no_inputs():
    return data([make_node("Relu", ["w"], ["y"])], [W], inputs=[])


@refused("no weights")
def no_weights():
    return data([make_node("Relu", ["x"], ["y"])], answer=("N", 4))


@refused(r"no input has a batch axis \(shapes \[\[8, 4\]\]\).*dynamic batch axis")
def no_batch_axis():
    return data(LINEAR, [W], shape=(8, 4), answer=(8, 3))


@refused("no output has a batch axis in front")
def an_answer_over_the_batch():
    node = make_node("ReduceMean", ["h"], ["y"], name="mean", axes=[0], keepdims=0)
    return ending(node, answer=(3,))


@refused(r"Squeeze \(node 'drop'\)")
def a_batch_of_one_that_is_dropped():
    node = make_node("Squeeze", ["h", "axis"], ["y"], name="drop")
    return ending(node, tensors=[integers("axis", 0)], shape=(1, 4), answer=(3,))


@refused(r"Reshape \(node 'flat'\) does not fit: \[3\]")
def a_batch_of_one_that_is_literal():
    node = make_node("Reshape", ["h", "to"], ["y"], name="flat")
    return ending(node, tensors=[integers("to", 3)], shape=(1, 4), answer=(3,))


@refused("input 'x' says no shape")
def no_shape():
    return data(LINEAR, [W], inputs=[make_tensor_value_info("x", FLOAT, None)])


@refused(r"Gemm \(node 'head'\) does not fit")
def an_input_that_lies():
    return data(LINEAR, [W], shape=("N", 5))


@refused(r"output 'y' is said to have shape \['N', 9\], Gemm \(node 'head'\) makes \[2, 3\]")
def an_output_that_lies():
    return data(LINEAR, [W], answer=("N", 9))


@refused(r"tensor 'w' of shape \[4, 300\] needs 4800 bytes, the file holds 48")
def a_weight_that_lies():
    made = model(LINEAR, [W])
    made.graph.initializer[0].dims[:] = [4, 300]
    return made.SerializeToString()


@refused(r"tensor 'w' has shape \[-4, 3\]")
def a_negative_size():
    made = model(LINEAR, [W])
    made.graph.initializer[0].dims[:] = [-4, 3]
    return made.SerializeToString()


@refused(r"tensor 'w' has shape .* at most 8 axes")
def many_axes():
    made = model(LINEAR, [W])
    made.graph.initializer[0].dims[:] = [4, 3] + [1] * 40
    return made.SerializeToString()


@refused("tensor 'w' is of type 77; expected floats")
def a_type_that_does_not_exist():
    made = model(LINEAR, [W])
    made.graph.initializer[0].data_type = 77
    return made.SerializeToString()


@refused("COMPLEX64; expected one of")
def complex_numbers():
    inputs = [
        make_tensor_value_info("x", FLOAT, ["N", 4]),
        make_tensor_value_info("c", TensorProto.COMPLEX64, ["N", 4]),
    ]
    return data(LINEAR, [W], inputs=inputs)


@refused("tensor 'w' holds 12 values that are not finite")
def weights_that_are_not_numbers():
    return data(LINEAR, [weight("w", 4, 3, value=np.nan)])


@refused("tensor 'w' holds 12 values that are not finite")
def infinite_weights():
    return data(LINEAR, [weight("w", 4, 3, value=np.inf)])


@refused(r"NonZero \(node 'pick'\).*depends on values")
def a_shape_that_depends_on_values():
    return ending(
        make_node("NonZero", ["h"], ["i"], name="pick"),
        make_node("Transpose", ["i"], ["t"], perm=[1, 0]),
        make_node("GatherND", ["h", "t"], ["y"]),
    )


@refused("sparse initializers are not read")
def a_sparse_weight():
    made = model(LINEAR, [W])
    sparse = made.graph.sparse_initializer.add(dims=[4, 3])
    sparse.values.CopyFrom(weight("s", 1))
    sparse.indices.CopyFrom(integers("i", 0))
    return made.SerializeToString()


@refused("has the attribute 'colour'")
def an_attribute_that_does_not_exist():
    return ending(make_node("Relu", ["h"], ["y"], name="r", colour=3))


@refused(r"Conv \(node 'c'\) does not fit")
def a_convolution_of_the_wrong_rank():
    node = make_node("Conv", ["x", "k"], ["y"], name="c")
    return data([node], [weight("k", 3, 4, 1, 1)], answer=("N", 3))


@refused("name has 5000 bytes|input has 5000 bytes|output has 5000 bytes")
def a_long_name():
    return ending(make_node("Relu", ["h"], ["y"], name="n" * 5000))


@refused("metadata has .* bytes, at most 1048576")
def much_metadata():
    made = model(LINEAR, [W])
    made.metadata_props.add(key="k", value="v" * 2**21)
    return made.SerializeToString()


@refused(r"Squeeze \(node 's'\) has an attribute 'axes' of 200000 values")
def a_long_attribute():
    return ending(make_node("Squeeze", ["h"], ["y"], name="s", axes=[1] * 200_000), opset=11)
