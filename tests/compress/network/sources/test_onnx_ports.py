"""How an imported network takes examples: read off its ports, or refused with words."""

from __future__ import annotations

import pytest

from compress.network.graph.values import Graph, GraphPort, Node
from compress.network.sources import onnx_ports
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
    assert (ports.layout, ports.input_shape, ports.batch) == ("NCHW", (3, 8, 16), "N")
    assert ports.sizes == {"N": 1}
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
    assert ports.sizes == {"N": 1, "height": 8, "width": 16}
    with pytest.raises(InvalidNetwork, match=r"does not take examples of input_shape \(1, 8, 16\)"):
        onnx_ports.example_ports(given, input_shape=(1, 8, 16))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((30,), "float32"), ((2, 48), "float32"), ((40, 3), "uint8"), ((2, 3, 4, 5), "int32")],
)
def test_other_examples_have_the_axes_of_their_file(shape, dtype):
    ports = onnx_ports.example_ports(graph("N", *shape, dtype=dtype))
    assert (ports.input_shape, ports.file_shape, ports.batch) == (shape, shape, "N")


def test_a_length_that_is_open_is_that_of_the_data():
    ports = onnx_ports.example_ports(graph("N", "length", dtype="int64"), input_shape=(9,))
    assert ports.sizes == {"N": 1, "length": 9}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (graph("N"), "expected images"),
        (graph("N", *range(2, 9)), "1 to 6 axes behind the batch"),
        (graph("N", 3, 8, 8, dtype="bool"), "of bool: expected images"),
        (graph(4, 3, 8, 8), "exactly 4 examples at a time"),
        (graph("N", "length"), "leaves the size of its examples open"),
        (graph("N", 40, 80, 80), "images of 40 channels"),
        (graph(inputs=(port("a", "N", 3, 8, 8), port("b", "N"))), r"2 inputs \('a'.*'b'"),
        (graph("N", 3, 8, 8, outputs=(port("a"), port("b"))), r"2 outputs \('a'.*'b'"),
    ],
    ids=["rank", "ranks", "type", "batch", "open", "channels", "inputs", "outputs"],
)
def test_what_takes_no_examples_is_refused_by_its_port(given, words):
    with pytest.raises(InvalidNetwork, match=words):
        onnx_ports.example_ports(given)


@pytest.mark.parametrize(
    ("shape", "words"),
    [(None, "unknown"), ((1, 4, 10), r"\(1, 4, 10\)"), ((1, 1), "tells 1 classes apart")],
)
def test_what_does_not_answer_with_logits_is_refused(shape, words):
    ports = onnx_ports.example_ports(graph("N", 3, 8, 8))
    assert onnx_ports.num_classes(ports, (1, 10)) == 10
    with pytest.raises(InvalidNetwork, match=words):
        onnx_ports.num_classes(ports, shape)
