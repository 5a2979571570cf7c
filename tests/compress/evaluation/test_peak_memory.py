from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.evaluation import peak_memory
from compress.values.errors import Stopped

MEGABYTE = 10**6


def linear(folder: Path, *, features: int, classes: int) -> Path:
    """One matrix product, saved: 4 bytes for each of its weights."""
    weights = np.ones((features, classes), np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weights"], ["logits"])],
        "linear",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", features])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes])],
        [numpy_helper.from_array(weights, "weights")],
    )
    path = folder / f"linear-{features}.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def test_a_file_takes_at_least_the_memory_of_its_weights(tmp_path):
    small = peak_memory.of_file(linear(tmp_path, features=10, classes=10))
    large = peak_memory.of_file(linear(tmp_path, features=2000, classes=2500))
    more = large.peak_memory_bytes - small.peak_memory_bytes
    assert 19 * MEGABYTE < more < 100 * MEGABYTE
    assert 0 < small.load_ms < large.load_ms


def test_what_the_asking_process_holds_does_not_count(tmp_path):
    path = linear(tmp_path, features=10, classes=10)
    alone = peak_memory.of_file(path).peak_memory_bytes
    held = np.ones(200 * MEGABYTE, np.uint8)
    beside = peak_memory.of_file(path).peak_memory_bytes
    assert held.all()
    assert abs(beside - alone) < 5 * MEGABYTE


def test_a_file_that_cannot_be_loaded_ends_the_measuring_process_with_its_reason(tmp_path):
    path = tmp_path / "text.onnx"
    path.write_text("no model")
    with pytest.raises(
        ChildProcessError, match=r"text\.onnx ended with status 1: .*Protobuf parsing"
    ):
        peak_memory.of_file(path)


def test_measuring_stops_when_asked_to(tmp_path):
    asked = []

    def should_stop() -> bool:
        asked.append(True)
        return len(asked) == 2

    with pytest.raises(Stopped):
        peak_memory.of_file(linear(tmp_path, features=10, classes=10), should_stop=should_stop)
    assert len(asked) == 2


def test_measuring_that_takes_too_long_is_given_up(tmp_path):
    with pytest.raises(TimeoutError, match="too long"):
        peak_memory.of_file(linear(tmp_path, features=10, classes=10), most_seconds=0.0)


def test_without_the_kernels_figures_there_is_a_load_time_and_no_invented_memory(tmp_path):
    path = linear(tmp_path, features=10, classes=10)
    found = peak_memory.measure_here(path, threads=1, status=tmp_path / "absent")
    assert found.peak_memory_bytes is None
    assert found.load_ms > 0
