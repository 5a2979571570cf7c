"""Which networks of ONNX files fit which data, and what is said of those that do not."""

from __future__ import annotations

import pytest

from compress.network.sources.onnx_info import OnnxInfo, OnnxPart, OnnxPort
from compress.tasks.formats.input_parts import InputPart
from compress.tasks.inspection import DatasetInfo
from service.errors import ModelDoesNotFitData
from service.intake import file_fit
from service.intake.file_fit import File
from tests import factories


def network(outputs, *, inputs=("ids",), **changes):
    given = {
        "inputs": tuple(OnnxPort(name=n, dtype="int64", shape=("N", "L")) for n in inputs),
        "outputs": tuple(
            OnnxPort(name=n, dtype="float32", shape=shape) for n, shape in outputs.items()
        ),
        "layout": "NCHW",
        "input_shape": (9,),
        "num_classes": 4,
        "parameters": 1,
        "macs": 1,
        "layers": (),
        "operators": {},
    }
    return File(field="model", name="mine", info=OnnxInfo(**(given | changes)))


def data(task="classification", **changes):
    """Data of nine values an example; of tasks that are no class yet, as documents of theirs."""
    given = {"input_shape": (9,), "num_classes": 4, "is_whole": True, "value_range": (0, 20)}
    return factories.dataset_info(**(given | changes)).model_copy(update={"task": task})


def parts(*names):
    return tuple(OnnxPart(name=name, shape=(9,), num_ids=21) for name in names)


def held(*names, high=20.0):
    return tuple(
        InputPart(name=n, shape=(9,), value_range=(0, high), is_whole=True).model_dump()
        for n in names
    )


ROWS = {"y": ("N", 4)}
TAGS = {"y": ("N", "L", 4)}
SEVERAL = {"boxes": ("N", 5, 4), "scores": ("N", 5)}


@pytest.mark.parametrize(
    ("file", "given"),
    [
        (network(ROWS), data()),
        (network(ROWS, num_ids=21), data()),
        (network({"y": ("N",)}, num_classes=1), data("regression", num_classes=1)),
        (network(SEVERAL, answer="packed", num_classes=25), data("unlabelled", num_classes=0)),
        (network(TAGS, answer="sequence"), data("unlabelled", num_classes=0)),
        (
            network(ROWS, inputs=("a", "b"), parts=parts("a", "b"), input_shape=(2, 9)),
            data(input_shape=(2, 9), inputs=held("a", "b")),
        ),
    ],
    ids=["rows", "ids", "number", "outputs", "states", "pair"],
)
def test_a_network_with_the_ports_that_a_task_needs_fits(file, given):
    file_fit.check(file, given, "texts")
    if given.num_classes:
        with pytest.raises(ModelDoesNotFitData):
            file_fit.check(file, given.model_copy(update={"num_classes": 9}), "texts")


@pytest.mark.parametrize(
    ("file", "given", "words"),
    [
        (network(ROWS), data(num_classes=3), "tells 4 classes apart, .* and 3 classes: if its"),
        (network(ROWS), data(input_shape=(7,)), "send it again with --input-shape 7"),
        (network(TAGS, answer="sequence"), data(), r"answers y \(N, L, 4\), .* needs one output"),
        (network(SEVERAL, answer="packed"), data(), r"\(N, K\); .* a job of the task unlabelled"),
        (network(ROWS, num_ids=20), data(), "takes ids from 0 to 19"),
        (network({"y": ("N", 4)}), data("regression", num_classes=1), r"answers y \(N, 4\)"),
        (
            network(ROWS, parts=parts("a", "b"), input_shape=(2, 9)),
            data(input_shape=(2, 9), inputs=held("b", "a")),
            r"takes a \(9,\), b \(9,\), .* holds b \(9,\), a .*: send the data again",
        ),
        (
            network(ROWS, parts=parts("a", "b"), input_shape=(2, 9)),
            data(input_shape=(2, 9), inputs=held("a", "c")),
            r"holds a \(9,\), c \(9,\): name its arrays as the inputs",
        ),
        (
            network(ROWS, parts=parts("a", "b"), input_shape=(2, 9)),
            data(input_shape=(2, 9), inputs=held("a", "b", high=21)),
            "the input a of the data 'texts' has whole numbers from 0 to 21",
        ),
    ],
    ids=["classes", "length", "tags", "outputs", "ids", "targets", "order", "names", "part"],
)
def test_what_does_not_fit_is_refused_with_the_way_out(file, given: DatasetInfo, words):
    with pytest.raises(ModelDoesNotFitData, match=words):
        file_fit.check(file, given, "texts")
