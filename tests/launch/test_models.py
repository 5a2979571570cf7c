"""Commands about networks: one is added, shown and listed, or refused with words."""

import json

import pytest

from featherweight.specs.schemas import ModelSchema
from tests import onnx_files
from tests.service.running import MODEL_FIELDS, weights

pytestmark = pytest.mark.proof


def test_an_onnx_file_is_added_waited_for_and_shown(run, tmp_path):
    path = tmp_path / "mynet.onnx"
    path.write_bytes(onnx_files.network())
    done = run("models", "add", str(path), "--name", "mynet")
    assert (done.status, done.err) == (0, "")
    assert run("models", "show", "mynet").out == done.out
    for words in (
        "model mynet (onnx, ",
        "ready",
        "input pixels: float32 (batch, 1, 8, 8)",
        "images 1x8x8 (channels, height, width; as NCHW), 2 classes",
        "8x1x3x3",
        "filter_pruning",
        "only networks of a family have members",
    ):
        assert words in done.out
    found = ModelSchema.model_validate(run("models", "show", "mynet", "--json").json)
    assert found.state == "ready"
    line = next(line for line in run("models").out.splitlines() if "mynet" in line)
    assert line.split()[-2:] == ["onnx", "ready"]


def test_a_file_that_leaves_its_sizes_open_is_refused_until_they_are_given(run, tmp_path):
    path = tmp_path / "open.onnx"
    path.write_bytes(onnx_files.network(image=(1, "height", "width")))
    done = run("models", "add", str(path), "--name", "open")
    assert done.status == 2
    assert "upload it with an input_shape" in done.err
    assert "refused: input 'pixels'" in run("models", "show", "open").out
    added = run("models", "add", str(path), "--name", "sized", "--input-shape", "1x8x8")
    assert added.status == 0
    assert run("models", "add", str(path), "--input-shape", "8x8").status == 2


def test_weights_are_added_with_their_architecture(run, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights())
    given = [
        part
        for name in ("architecture", "normalisation")
        for part in (f"--{name}", json.dumps(MODEL_FIELDS[name]))
    ]
    done = run("models", "add", str(path), "--name", "family", *given)
    assert done.status == 0
    assert "model family (safetensors, " in done.out
    assert "a network of the family residual, channels of an image: 1, classes: 2" in done.out
    assert run("models", "add", str(path), "--architecture", "{").status == 2
