"""Files in the form of another target: made in a bounded process, with their own bytes."""

from __future__ import annotations

import hashlib

import onnx
import pytest

from compress.targets import registry
from compress.targets.target import Target
from tests import onnx_files
from tests.service.delivering import delivered
from tests.service.running import problem, serve


@pytest.fixture(scope="module")
def network():
    return onnx_files.network()


@pytest.fixture
def artifacts(service, network):
    return delivered(service, network)


def test_all_targets_are_listed(service):
    answer = service.client.get("/v1/targets")
    assert tuple(map(Target.model_validate, answer.json())) == registry.TARGETS


def test_a_file_comes_in_the_form_of_a_target_with_its_own_digest(service, artifacts, network):
    address = f"/v1/artifacts/{artifacts['onnx']['id']}"
    answer = service.client.get(address, params={"target": "plain"})
    assert answer.status_code == 200, answer.text
    made = onnx.load_from_string(answer.content)
    said = {each.key: each.value for each in made.metadata_props}
    assert said["featherweight.source_sha256"] == hashlib.sha256(network).hexdigest()
    assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    assert answer.headers["Content-Disposition"].endswith('.plain.onnx"')
    part = service.client.get(address, params={"target": "plain"}, headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, answer.content[5:10])
    as_made = service.client.get(address, params={"target": "onnxruntime"})
    assert as_made.content == service.client.get(address).content == network


def test_a_file_that_was_made_for_the_target_comes_as_it_is(service, artifacts, network):
    address = f"/v1/artifacts/{artifacts['onnx']['id']}"
    answer = service.client.get(address, params={"target": "portable"})
    assert answer.content == network
    assert answer.headers["ETag"] == f'"{hashlib.sha256(network).hexdigest()}"'


def test_a_file_without_such_a_form_is_refused_with_the_reason(service):
    artifact = delivered(service)["onnx"]["id"]
    answer = service.client.get(f"/v1/artifacts/{artifact}", params={"target": "plain"})
    found = problem(answer, 422, "ConversionRefused")
    assert "the file is not an ONNX model" in found["detail"]


def test_a_manifest_has_no_other_form(service, artifacts):
    address = f"/v1/artifacts/{artifacts['manifest']['id']}"
    for target in ("plain", "portable"):
        answer = service.client.get(address, params={"target": target})
        assert "role manifest" in problem(answer, 422, "ConversionRefused")["detail"]


def test_an_unknown_target_is_refused_with_those_that_there_are(service, artifacts):
    address = f"/v1/artifacts/{artifacts['onnx']['id']}"
    answer = service.client.get(address, params={"target": "ncnn"})
    found = problem(answer, 422, "UnknownTarget")
    assert "expected one of onnxruntime, portable, plain" in found["detail"]


def test_a_conversion_has_limits(sqlite_url, tmp_path, network):
    with serve(sqlite_url, tmp_path, conversion_seconds=0.1) as service:
        artifact = delivered(service, network)["onnx"]["id"]
        answer = service.client.get(f"/v1/artifacts/{artifact}", params={"target": "plain"})
        found = problem(answer, 422, "ConversionRefused")
        assert "within 0.1 s and 4 GiB of memory: it took too long" in found["detail"]
