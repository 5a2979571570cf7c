"""How an imported network takes examples: read off its ports, or refused with words."""

from __future__ import annotations

import pytest

from compress.network.graph.values import Graph, GraphPort, Node
from compress.network.sources.ports import onnx_ports
from compress.values.errors import InvalidNetwork

TRANSPOSE = Node(
    op="Transpose",
    name="to_nchw",
    inputs=("scaled",),
    outputs=("seen",),
    attributes={"perm": (0, 3, 1, 2)},
)
SCALE = Node(op="Mul", name="scale", inputs=("pixels", "factor"), outputs=("scaled",))


def port(name, *shape, dtype="float32"):
    return GraphPort(name=name, dtype=dtype, shape=shape)


def graph(*shape, nodes=(), inputs=None, outputs=None, dtype="float32"):
    first = nodes or (Node(op="Conv", name="first", inputs=("pixels", "w"), outputs=("a",)),)
    return Graph(
        inputs=inputs or (port("pixels", *shape, dtype=dtype),),
        outputs=outputs or (port("scores", "N", 10),),
        nodes=tuple(first),
        tensors={},
    )


def test_images_have_their_channels_first_where_a_convolution_reads_them():
    ports = onnx_ports.example_ports(graph("N", 3, 8, 16))
    assert (ports.layout, ports.input_shape, ports.has_one_input) == ("NCHW", (3, 8, 16), True)
    assert ports.sizes() == {"N": 1}
    assert onnx_ports.example_ports(graph("N", 3, 8, 3)).layout == "NCHW"


def test_images_have_their_channels_last_where_they_are_transposed_first():
    ports = onnx_ports.example_ports(graph("N", 8, 16, 3, nodes=(SCALE, TRANSPOSE)))
    assert (ports.layout, ports.input_shape) == ("NHWC", (3, 8, 16))


@pytest.mark.parametrize(("shape", "layout"), [((3, 28, 28), "NCHW"), ((28, 28, 1), "NHWC")])
def test_where_axes_are_merged_at_once_their_sizes_tell(shape, layout):
    flat = Node(op="Flatten", name="flat", inputs=("pixels",), outputs=("a",))
    assert onnx_ports.example_ports(graph("N", *shape, nodes=(flat,))).layout == layout


def test_open_sizes_have_to_be_given():
    given = graph("N", 3, "height", "width")
    with pytest.raises(InvalidNetwork, match="upload it with an input_shape"):
        onnx_ports.example_ports(given)
    ports = onnx_ports.example_ports(given, input_shape=(3, 8, 16))
    assert ports.input_shape == (3, 8, 16)
    assert ports.sizes(3) == {"N": 3, "height": 8, "width": 16}
    with pytest.raises(InvalidNetwork, match=r"does not take examples of input_shape \(1, 8, 16\)"):
        onnx_ports.example_ports(given, input_shape=(1, 8, 16))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((30,), "float32"), ((2, 48), "float32"), ((40, 3), "uint8"), ((2, 3, 4, 5), "int32")],
)
def test_other_examples_have_the_axes_of_their_file(shape, dtype):
    ports = onnx_ports.example_ports(graph("N", *shape, dtype=dtype))
    assert (ports.input_shape, ports.parts) == (shape, (shape,))


def test_a_length_that_is_open_is_that_of_the_data():
    ports = onnx_ports.example_ports(graph("N", "length", dtype="int64"), input_shape=(9,))
    assert ports.sizes() == {"N": 1, "length": 9}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (graph("N"), "expected images"),
        (graph("N", *range(2, 9)), "1 to 6 axes behind the batch"),
        (graph("N", 3, 8, 8, dtype="float64"), "of float64: expected images"),
        (graph(4, 3, 8, 8), "exactly 4 examples at a time"),
        (graph("N", "length"), "leaves the size of its examples open"),
        (graph(inputs=(port("a", "N", 3), port("b", 2, "N"))), r"'b' .* exactly 2 examples"),
        (graph(inputs=(port("a", "N", 3), port("b"))), r"with 0 to 6 axes"),
        (graph(inputs=(port("a", "N", 3, "L"), port("b", "N"))), "'a', 'b': of several inputs"),
        (graph(inputs=(port("a", "N", "L"), port("b", "N", "M"))), r"input_shape \(2, L\)"),
        (graph(inputs=tuple(port(f"p{n}", "N", 3) for n in range(17))), "17 inputs"),
    ],
    ids=["rank", "ranks", "type", "batch", "open", "state", "scalar", "size", "lengths", "many"],
)
def test_what_takes_no_examples_is_refused_by_its_port(given, words):
    with pytest.raises(InvalidNetwork, match=words):
        onnx_ports.example_ports(given)


def test_several_inputs_lie_in_one_example():
    pair = (port("a", "N", "L"), port("b", "M", "K"))
    ports = onnx_ports.example_ports(graph(inputs=pair), input_shape=(2, 9))
    assert (ports.input_shape, ports.parts) == ((2, 9), ((9,), (9,)))
    assert ports.sizes(4) == {"N": 4, "M": 4, "L": 9, "K": 9}
    mixed = (port("a", "N", 3, 4, 4), port("b", "N"), port("c", "N", 5))
    ports = onnx_ports.example_ports(graph(inputs=mixed))
    assert (ports.input_shape, ports.parts) == ((54,), ((3, 4, 4), (), (5,)))
    with pytest.raises(InvalidNetwork, match=r"together they take \(54,\)"):
        onnx_ports.example_ports(graph(inputs=mixed), input_shape=(3, 4, 4))


def usual(*names, dtype="int64"):
    return graph(inputs=tuple(port(name, "N", "L", dtype=dtype) for name in names))


def test_masks_and_kinds_of_words_are_made_of_ids_by_their_names():
    given = usual("input_ids", "token_type_ids", "attention_mask")
    ports = onnx_ports.example_ports(given, input_shape=(9,))
    assert ports.made == {"token_type_ids": "zeros", "attention_mask": "mask"}
    assert (ports.input_shape, ports.sizes()) == ((9,), {"N": 1, "L": 9})
    for names in (("ids", "attention_mask"), ("input_ids", "attention_mask", "more")):
        ports = onnx_ports.example_ports(usual(*names), input_shape=(len(names), 9))
        assert not ports.made


def shapes(*each):
    """Those of the output ``scores`` for both numbers of examples."""
    return [{} if shape is None else {"scores": shape} for shape in each]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (shapes((2, 10), (3, 10)), ("rows", 10)),
        (shapes((2,), (3,)), ("rows", 1)),
        (shapes((2, 9, 4), (3, 9, 4)), ("sequence", 4)),
        (shapes((2, 1, 4, 4), (3, 1, 4, 4)), ("packed", 16)),
    ],
)
def test_any_answer_to_each_example_is_taken(found, expected):
    ports = onnx_ports.example_ports(graph("N", 3, 8, 8))
    answer = onnx_ports.answer(ports, found)
    assert (answer.form, answer.width) == expected


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (shapes(None, None), "unknown"),
        (shapes((1, 10), (1, 10)), r"\(1, 10\) for 2 examples"),
        (shapes((), ()), r"\(\) for 2 examples"),
        (shapes((2, 0), (3, 0)), "has no numbers"),
    ],
)
def test_what_does_not_answer_each_example_is_refused(found, words):
    ports = onnx_ports.example_ports(graph("N", 3, 8, 8))
    with pytest.raises(InvalidNetwork, match=words):
        onnx_ports.answer(ports, found)


def test_whole_numbers_alone_are_no_answer():
    whole = graph("N", 3, 8, 8, outputs=(port("scores", "N", dtype="int64"),))
    with pytest.raises(InvalidNetwork, match="'scores' are whole numbers"):
        onnx_ports.answer(onnx_ports.example_ports(whole), shapes((2,), (3,)))
