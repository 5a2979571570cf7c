"""The oldest runtimes that a file is for."""

import pytest
from onnx import FunctionProto, helper

from compress.targets import needs
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.targets.portable import PORTABLE


def model(opset, *, functions=()):
    graph = helper.make_graph([], "empty", [], [])
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], functions=list(functions)
    )


@pytest.mark.parametrize(
    ("opset", "version"), [(13, "1.15"), (18, "1.15"), (20, "1.17"), (21, "1.23")]
)
def test_a_file_as_it_is_made_needs_the_version_that_reads_its_opset(opset, version):
    assert needs.oldest(model(opset), ONNXRUNTIME) == (f"onnxruntime >= {version}",)


def test_functions_are_decoded_once_from_1_17_on():
    called = [FunctionProto(name="level", domain="own")]
    assert needs.oldest(model(13, functions=called), ONNXRUNTIME) == ("onnxruntime >= 1.17",)
    assert needs.oldest(model(21, functions=called), ONNXRUNTIME) == ("onnxruntime >= 1.23",)


def test_other_forms_run_wherever_their_target_does():
    found = needs.oldest(model(13), PORTABLE)
    assert found == ("onnxruntime >= 1.15", "openvino >= 2023.3", "opencv >= 5.0")
