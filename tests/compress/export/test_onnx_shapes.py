import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

from compress.export import onnx_shapes, writer
from compress.network.families.plans import execution
from tests.compress.networks import wrapped

BATCHES = (1, 4)


def graph(nodes, constants=None, *, given=("N", 6, 4, 4), outputs=("y",), rank=4):
    """Of an input ``x``, float nodes, and integer constants by name."""
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * rank) for n in outputs],
            [
                numpy_helper.from_array(np.asarray(value), name)
                for name, value in (constants or {}).items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", 21)],
    )
    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    return model


def resolved(model):
    """A copy after ``resolve``, valid and with the same answers for every size of a batch."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    onnx_shapes.resolve(found)
    onnx.checker.check_model(found, full_check=True)
    for batch in BATCHES:
        for one, other in zip(answers(model, batch), answers(found, batch), strict=True):
            np.testing.assert_array_equal(one, other)
    return found


def answers(model, batch):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    shape = [batch, *session.get_inputs()[0].shape[1:]]
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return session.run(None, {"x": x})


def kinds(model):
    return [node.op_type for node in model.graph.node]


def constants(model):
    return {t.name: numpy_helper.to_array(t).tolist() for t in model.graph.initializer}


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], **attributes)


HALF = [
    node("Shape", ["x"], "shape"),
    node("Gather", ["shape", "one"], "channels", axis=0),
    node("Div", ["channels", "two"], "half"),
    node("Unsqueeze", ["half", "first"], "end"),
    node("Slice", ["x", "zero", "end", "axis"], "left"),
    node("Slice", ["x", "end", "most", "axis"], "right"),
    node("Concat", ["right", "left"], "y", axis=1),
]
NUMBERS = {
    "one": np.int64(1),
    "two": np.int64(2),
    "zero": np.array([0]),
    "first": np.array([0]),
    "axis": np.array([1]),
    "most": np.array([10**9]),
}


def test_half_of_the_channels_becomes_a_number():
    found = resolved(graph(HALF, NUMBERS))
    assert kinds(found) == ["Slice", "Slice", "Concat"]
    assert constants(found)["end"] == [3]
    assert set(constants(found)) == {"zero", "end", "most", "axis"}


def test_a_size_that_follows_from_one_that_was_just_found_is_found_too():
    """The left half is of 3 channels only once its end is a number."""
    nodes = [
        *HALF[:5],
        node("Shape", ["left"], "again"),
        node("Gather", ["again", "one"], "three", axis=0),
        node("Add", ["three", "two"], "five"),
        node("Unsqueeze", ["five", "first"], "to"),
        node("Slice", ["x", "zero", "to", "axis"], "y"),
    ]
    found = resolved(graph(nodes, NUMBERS))
    assert kinds(found) == ["Slice"]
    assert constants(found)["to"] == [5]


def test_what_depends_on_the_batch_stays_as_it_is():
    nodes = [
        node("Shape", ["x"], "shape"),
        node("Gather", ["shape", "batch"], "images", axis=0),
        node("Unsqueeze", ["images", "first"], "start"),
        node("Concat", ["start", "rest"], "target", axis=0),
        node("Reshape", ["x", "target"], "y"),
    ]
    numbers = {"batch": np.int64(0), "first": np.array([0]), "rest": np.array([6, 16])}
    found = resolved(graph(nodes, numbers, rank=3))
    assert kinds(found) == ["Shape", "Gather", "Unsqueeze", "Concat", "Reshape"]
    assert constants(found) == {name: value.tolist() for name, value in numbers.items()}


def test_a_part_of_a_shape_that_leaves_the_batch_out_is_a_number():
    nodes = [
        node("Shape", ["x"], "shape"),
        node("Slice", ["shape", "from", "to"], "sides"),
        node("Cast", ["sides"], "whole", to=TensorProto.INT64),
        node("Concat", ["front", "whole"], "target", axis=0),
        node("Reshape", ["x", "target"], "y"),
    ]
    numbers = {"from": np.array([2]), "to": np.array([4]), "front": np.array([-1, 6])}
    found = resolved(graph(nodes, numbers))
    assert kinds(found) == ["Reshape"]
    assert constants(found) == {"target": [-1, 6, 4, 4]}


@pytest.mark.parametrize("sides", [(8, 2), (5, 7), (4, 11)])
def test_a_resize_says_height_and_width_alone_where_the_batch_is_not_known(sides):
    nodes = [
        node("Shape", ["x"], "shape"),
        node("Slice", ["shape", "from", "to"], "kept"),
        node("Concat", ["kept", "sides"], "sizes", axis=0),
        node("Resize", ["x", "", "", "sizes"], "y", mode="linear"),
    ]
    numbers = {"from": np.array([0]), "to": np.array([2]), "sides": np.array(sides)}
    found = resolved(graph(nodes, numbers))
    assert kinds(found) == ["Resize"]
    (resize,) = found.graph.node
    # As scales, which ONNX Runtime can place among integer convolutions.
    assert constants(found) == {resize.input[2]: pytest.approx([1, 1, sides[0] / 4, sides[1] / 4])}


@pytest.mark.parametrize("before", range(1, 40))
def test_a_scale_makes_the_size_that_it_was_made_for(before):
    for after in range(1, 60):
        factor = onnx_shapes._factor(float(before), float(after))
        assert int(np.floor(factor * np.float32(before))) == after


@pytest.mark.parametrize(
    ("step", "values"),
    [
        (node("Shape", ["x"], "part", start=1, end=3), None),
        (node("ReduceProd", ["shape"], "part", keepdims=1), None),
        (node("Slice", ["shape", "from", "to", "axis", "step"], "part"), [6, 4]),
    ],
    ids=["part of a shape", "product", "steps"],
)
def test_steps_that_are_not_known_stay_and_those_that_are_do_not(step, values):
    nodes = [node("Shape", ["x"], "shape"), step, node("Expand", ["unit", "part"], "y")]
    numbers = {
        "from": np.array([1]),
        "to": np.array([4]),
        "axis": np.array([0]),
        "step": np.array([2]),
        "unit": np.ones((), np.float32),
    }
    rank = 1 if step.op_type == "ReduceProd" else 2
    found = resolved(graph(nodes, numbers, rank=rank))
    if values is None:
        assert step.op_type in kinds(found)
    else:
        assert kinds(found) == ["Expand"]
        assert constants(found)["part"] == values


def test_weights_stay_in_their_place_and_what_nobody_reads_goes():
    weight = np.random.default_rng(0).standard_normal((5, 3, 1, 1), dtype=np.float32)
    nodes = [
        *HALF[:5],
        node("Conv", ["left", "weight"], "y"),
        node("Relu", ["right"], "unread"),
        HALF[5],
    ]
    order = [*nodes[:5], nodes[7], nodes[6], nodes[5]]
    found = resolved(graph(order, NUMBERS | {"weight": weight}))
    assert kinds(found) == ["Slice", "Conv"]
    np.testing.assert_array_equal(np.array(constants(found)["weight"], np.float32), weight)
    assert "most" not in constants(found)


class Shuffled(nn.Module):
    """A resize, a split and a shuffle, as the exporter writes them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.conv(functional.interpolate(x, size=(6, 6), mode="bilinear"))
        left, right = x.chunk(2, dim=1)
        x = torch.cat([left, right.relu()], dim=1)
        x = execution.shuffle(x, 2)
        return self.head(x.mean((2, 3)))


def test_an_exported_network_computes_no_shapes():
    network = wrapped(Shuffled())
    found = writer.float_graph(network)
    assert {"Shape", "Gather", "Unsqueeze", "Div", "Cast"}.isdisjoint(kinds(found))
    session = onnxruntime.InferenceSession(
        found.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = torch.randn(3, *network.input_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network.module(x)
    (logits,) = session.run(None, {"input": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), expected, atol=1e-5, rtol=1e-4)
