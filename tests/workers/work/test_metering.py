"""A meter measures real files in processes of their own, without torch."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from compress.evaluation import metering
from compress.values.errors import Stopped
from featherweight.specs.cluster import RuntimeVersion
from tests import onnx_files
from workers.work.metering import machine, measuring

RUNTIME = RuntimeVersion(name="onnxruntime", version=onnxruntime.__version__)
RASPBERRY = """processor\t: 0
CPU implementer\t: 0x41
CPU part\t: 0xd0b

processor\t: 1
CPU implementer\t: 0x41
CPU part\t: 0xd0b

processor\t: 2
CPU implementer\t: 0x99
CPU part\t: 0x001
"""
MEASURE_AND_LIST = """
import json, sys
from workers.work.metering import child
told = child.found("onnxruntime", sys.argv[1], "1")
print(json.dumps([told, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "network.onnx"
    path.write_bytes(onnx_files.network())
    return path


def measure(path, **changes):
    given = {"threads": 1, "is_wanted": lambda: True}
    [figures] = measuring.measure(path, [RUNTIME], **(given | changes)).figures
    return figures


def test_a_file_is_measured_without_torch(network):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE_AND_LIST, str(network)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told, loaded = json.loads(done.stdout)
    assert {"torch", "onnx", "scipy", "pydantic"}.isdisjoint(loaded)
    assert {"numpy", "onnxruntime"} <= set(loaded)
    assert told["runtime"]["version"] == onnxruntime.__version__
    assert 0 < told["latency_ms"] <= told["wall_p95_ms"]


def test_a_file_gets_what_it_asks_for_with_one_for_open_sizes():
    ports = [
        metering.FileInput(name="pixels", dtype=np.uint8, shape=(None, 8, 8, 3)),
        metering.FileInput(name="words", dtype=np.int64, shape=(None, None)),
        metering.FileInput(name="half", dtype=np.float16, shape=(2,)),
    ]
    given = metering.inputs(ports)
    shapes = {name: (value.dtype.name, value.shape) for name, value in given.items()}
    assert shapes == {
        "pixels": ("uint8", (1, 8, 8, 3)),
        "words": ("int64", (1, 1)),
        "half": ("float16", (2,)),
    }
    assert given["pixels"].max() > 1 >= given["words"].max()


@pytest.mark.parametrize(
    ("shape", "given"),
    [
        ((None, 3, None, None), (1, 3, 8, 9)),
        ((None, None, None, 3), (1, 8, 9, 3)),
        ((4, None, None, None), (4, 3, 8, 9)),
        ((None, 3, 16, 16), (1, 3, 16, 16)),
        ((None, 1, None, None), (1, 1, 1, 1)),
        ((None, None), (1, 1)),
        ((), ()),
    ],
)
def test_sizes_that_a_file_leaves_open_are_those_of_an_example(shape, given):
    port = metering.FileInput(name="pixels", dtype=np.float32, shape=shape)
    assert metering.inputs([port], (3, 8, 9))["pixels"].shape == given


def test_a_file_of_open_sizes_is_measured_at_those_of_the_data(tmp_path):
    sizes = numpy_helper.from_array(np.array([1, 3, 8, 8]), "sizes")
    before = [
        helper.make_node("Constant", [], ["sizes"], value=sizes),
        helper.make_node("Reshape", ["pixels", "sizes"], ["seen"]),
    ]
    path = tmp_path / "open.onnx"
    path.write_bytes(onnx_files.network(image=(3, "height", "width"), before=before))
    assert measure(path).refusal
    assert measure(path, example=(3, 8, 8)).latency_ms


def test_a_file_that_is_none_is_refused_in_words(tmp_path):
    path = tmp_path / "text.onnx"
    path.write_text("no model")
    found = measure(path)
    assert found.refusal.startswith("InvalidProtobuf")
    assert str(tmp_path) not in found.refusal
    assert found.latency_ms is None


def test_a_runtime_that_does_not_end_costs_its_process_alone(network):
    assert measure(network, most_seconds=0.1).refusal == "it took longer than 0.1 s"


def test_measuring_ends_once_nobody_wants_it(network):
    with pytest.raises(Stopped):
        measure(network, is_wanted=lambda: False)


def test_what_loads_here_is_said_with_its_version():
    assert RUNTIME in measuring.installed()


def test_a_board_is_named_by_its_cores(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(RASPBERRY)
    assert machine.cpu(path) == "2 x Arm Cortex-A76, 1 x implementer 0x99 part 0x001"
    path.write_text("model name\t: Some\x07 CPU\n")
    assert machine.cpu(path) == "Some CPU"
    assert machine.cpu(tmp_path / "none")
    assert machine.device()
    assert machine.line("a\nb\x00") == "a b"
