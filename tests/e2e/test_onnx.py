"""A network of no family, uploaded as ONNX: a job on it ends with files that take its place."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from compress.tasks import loading
from featherweight import jobfile
from featherweight.client.transport import file_digest
from featherweight.specs import manifest
from featherweight.specs.states import JobState, ModelState
from tests import digit_reader
from tests.e2e.conftest import TINY

pytestmark = pytest.mark.proof

NAMES = tuple(f"digit {number}" for number in range(10))


@pytest.fixture(scope="module")
def images(digits):
    return loading.load(digits)


@pytest.fixture(scope="module")
def network(images, tmp_path_factory):
    """The file of a network that was trained for some epochs, by plain torch."""
    path = tmp_path_factory.mktemp("net") / "my net.onnx"
    return digit_reader.write(path, images)


@pytest.fixture(scope="module")
def named_digits(digits, tmp_path_factory):
    """The same images, with names of their classes."""
    path = tmp_path_factory.mktemp("named") / "digits.npz"
    with np.load(digits) as arrays:
        np.savez(path, **arrays, class_names=np.array(NAMES))
    return path


@pytest.fixture(scope="module")
def done(house, client, named_digits, network):
    """The job on it, at its end."""
    changes = {
        "model": {"path": network.name},
        "data": client.upload_dataset(named_digits, name="digits").name,
        "techniques": {
            "filter_pruning": {"scope": "global", "ratio": [0.0, 0.3]},
            "quantization": {},
        },
        "budget": {"trials": 4, "parallel_trials": 1},
    }
    (network.parent / "job.json").write_text(json.dumps(TINY | changes))
    house.start("worker")
    job = client.submit(jobfile.read(network.parent / "job.json").resolve(client))
    for _ in client.watch(job.id):
        pass
    yield client.job(job.id)
    assert house.kill("worker", 15) == 0


def accuracy(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    scores = session.run(["scores"], {"pixels": images.x_NCHW.float().numpy()})[0]
    return float((np.argmax(scores, axis=1) == images.y_N.numpy()).mean())


def test_the_job_ends_with_a_front(done, client):
    assert done.state == JobState.SUCCEEDED, done.stop_detail
    trials = list(client.trials(done.id))
    assert [trial.state for trial in trials if trial.state == "failed"] == []
    assert client.front(done.id).points


def test_the_uploaded_network_is_ready_and_described(done, client):
    model = client.model(done.spec.model)
    assert (model.state, model.format) == (ModelState.READY, "onnx")
    assert model.info.input_shape == (1, 8, 8)
    assert model.info.num_classes == 10


def test_the_baseline_answers_as_the_uploaded_file(done, network, images):
    own = accuracy(network, images.validation)
    assert own > 0.8
    assert done.baseline.accuracy["validation"] == pytest.approx(own, abs=1e-6)


def test_every_file_has_the_ports_and_the_metadata_of_the_upload(done, client, images, tmp_path):
    for point in client.front(done.id).points:
        path = client.download(point, tmp_path)
        model = onnx.load(path)
        [given], [answer] = model.graph.input, model.graph.output
        assert (given.name, answer.name) == ("pixels", "scores")
        dims = given.type.tensor_type.shape.dim
        assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", 1, 8, 8]
        assert {p.key: p.value for p in model.metadata_props}["made by"] == "somebody"
        measured = point.measurement.accuracy["validation"]
        assert accuracy(path, images.validation) == pytest.approx(measured, abs=1e-6)


def test_a_manifest_names_the_file_that_it_was_made_from(done, client, network):
    point = client.front(done.id).points[0]
    [file] = [one for one in client.artifacts(point.trial) if one.id == point.artifact]
    told = manifest.load(json.dumps(client.manifest(file.id)))
    assert told.architecture.sha256 == file_digest(network) == told.origin.weights_sha256
    assert (told.input.name, told.input.layout) == ("pixels", "NCHW")
    assert told.class_names == NAMES
