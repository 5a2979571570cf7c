"""What stands beside a file: its card, its programs, and the card inside the file."""

import ast
import hashlib
import json
from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from compress.values import wilson
from featherweight.cards import markdown
from featherweight.cards.card import ModelCard
from store.jobs import jobs
from store.tables.records import DatasetRecord
from tests import onnx_files
from tests.service.delivering import delivered
from tests.service.running import problem

EVIL = "<script>alert(1)</script> | `x`\n# [no](https://example.org) *bold* \\ \u202e"


def network(**metadata: str) -> bytes:
    model = onnx.load_from_string(onnx_files.network(names=("pixels", "scores")))
    helper.set_model_props(model, metadata)
    return model.SerializeToString()


@pytest.fixture
def content() -> bytes:
    names = json.dumps(["zero", EVIL])
    return network(**{"featherweight.class_names": names, "License": f"CC0 {EVIL}"})


@pytest.fixture
def address(service, content) -> str:
    """The address of a file whose job, data and classes have names that a stranger gave."""
    artifact = delivered(service, content)["onnx"]
    with service.database.write() as session:
        job = jobs.get(session, artifact["job"])
        job.name = EVIL
        session.get(DatasetRecord, job.dataset_id).name = EVIL
    return f"/v1/artifacts/{artifact['id']}"


def card(service, address, **params) -> ModelCard:
    answer = service.client.get(f"{address}/card", params=params)
    assert answer.status_code == 200, answer.text
    return ModelCard.model_validate(answer.json())


def test_a_card_says_what_the_file_its_manifest_and_its_job_say(service, address, content):
    found = card(service, address)
    manifest = service.client.get(f"{address}/manifest").json()
    assert found.file.sha256 == found.file.measured_sha256 == manifest["file_sha256"]
    assert (found.file.size_bytes, found.file.opset) == (len(content), 17)
    assert (found.input.name, found.input.layout) == ("pixels", "NCHW")
    assert (found.input.axes, found.input.shape) == (("batch", 1, 8, 8), (1, 8, 8))
    assert found.input.value_range == (0, 16)
    assert (found.output.name, found.output.values) == ("scores", "logits")
    assert found.output.class_names == ("zero", EVIL)
    assert found.output.class_names_inside
    assert found.candidate_digest == manifest["candidate_digest"]
    interval = wilson.interval(0.95, 20)
    share = found.accuracy["validation"]
    assert (share.accuracy, share.images) == (0.95, 20)
    assert (share.low, share.high) == (interval.low, interval.high)
    assert found.licence == f"CC0 {EVIL}"
    assert (found.job_name, found.dataset.name) == (EVIL, EVIL)
    assert found.target.name == "portable"
    [runtime, *others] = found.target.runtimes
    assert {other.ran for other in others} == {None}
    assert (runtime.oldest, runtime.ran) == ("1.15", None)
    assert "a version of onnxruntime that is not recorded" in runtime.proof


def test_a_card_of_another_form_has_its_bytes_and_says_what_was_not_run(service, address):
    made = service.client.get(address, params={"target": "plain"})
    found = card(service, address, target="plain")
    assert found.file.sha256 == hashlib.sha256(made.content).hexdigest()
    assert found.file.size_bytes == len(made.content)
    assert found.file.measured_sha256 == card(service, address).file.sha256
    assert (found.file.opset, found.file.ir_version) == (13, 7)
    ran = {runtime.name: runtime.ran for runtime in found.target.runtimes}
    assert ran["onnxruntime"] == onnxruntime.__version__
    assert "the largest difference is" in found.target.runtimes[0].proof
    assert found.costs.latency_of == "the measured file"
    assert found.file.download_bytes is None


def test_a_card_says_of_a_form_that_was_never_run_that_it_is_unproven(service, address):
    found = card(service, address, target="tensorrt")
    assert found.target.runtimes == ()
    assert found.target.unproven.startswith("unproven: ")
    asked = {"target": "tensorrt", "format": "markdown"}
    text = service.client.get(f"{address}/card", params=asked).text
    assert "**unproven: never run in TensorRT**" in text
    assert "| runtime | versions |" not in text


FORMS = (
    (None, {}, "application/json"),
    ("*/*", {}, "application/json"),
    ("text/markdown", {}, "text/markdown"),
    ("application/json, text/markdown", {}, "application/json"),
    ("text/html, text/markdown;q=0.9, */*", {}, "text/markdown"),
    ("text/markdown", {"format": "json"}, "application/json"),
    (None, {"format": "markdown"}, "text/markdown"),
)


def test_a_card_comes_in_the_form_that_is_asked_for(service, address):
    for accept, params, kind in FORMS:
        headers = {} if accept is None else {"Accept": accept}
        answer = service.client.get(f"{address}/card", params=params, headers=headers)
        assert answer.headers["Content-Type"].split(";")[0] == kind
        assert answer.headers["Vary"] == "Accept, Authorization, Cookie"
        known = {**headers, "If-None-Match": answer.headers["ETag"]}
        again = service.client.get(f"{address}/card", params=params, headers=known)
        assert (again.status_code, again.content) == (304, b"")


def test_nothing_that_a_user_named_is_more_than_text_in_markdown(service, address):
    text = service.client.get(f"{address}/card", params={"format": "markdown"}).text
    assert text == markdown.write(card(service, address))
    assert not set("<>\u202e") & set(text)
    assert "https:" not in text
    assert text.count("\n# ") == 0
    tables = [line for line in text.splitlines() if line.startswith("|")]
    widths = {line.replace("\\|", "").count("|") for line in tables}
    assert widths == {3, 4, 5}
    shown = "&lt;script&gt;alert(1)&lt;/script&gt; \\| \\`x\\`"
    assert text.count(shown) == 4  # job, dataset, class, licence


def test_a_file_with_metadata_is_the_file_and_entries_behind_it(service, address, content):
    answer = service.client.get(address, params={"metadata": "true"})
    whole = answer.content
    assert answer.headers["ETag"] == f'"{hashlib.sha256(whole).hexdigest()}"'
    assert whole.startswith(content)
    model = onnx.load_from_string(whole)
    onnx.checker.check_model(model)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert whole[: int(said["featherweight.file_bytes"])] == content
    assert said["featherweight.file_sha256"] == hashlib.sha256(content).hexdigest()
    assert json.loads(said["featherweight.input"])["layout"] == "NCHW"
    assert json.loads(said["featherweight.accuracy"])["validation"]["accuracy"] == 0.95
    assert said["featherweight.licence"] == f"CC0 {EVIL}"
    assert json.loads(said["featherweight.class_names"]) == ["zero", EVIL]
    assert len(said) == len(model.metadata_props)
    x = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)
    one, other = (
        onnxruntime.InferenceSession(data).run(None, {"pixels": x})[0] for data in (content, whole)
    )
    np.testing.assert_array_equal(one, other)


def test_parts_of_a_file_with_metadata_fit_together(service, address, content):
    def get(**headers):
        return service.client.get(address, params={"metadata": "true"}, headers=headers)

    whole, size = get().content, len(content)
    for middle in (5, size - 1, size, size + 7):
        ends = sorted({0, middle, size + 20, len(whole)})
        parts = [get(Range=f"bytes={first}-{end - 1}") for first, end in pairwise(ends)]
        assert {part.status_code for part in parts} == {206}
        assert b"".join(part.content for part in parts) == whole


def test_metadata_of_a_converted_file_name_both_digests(service, address, content):
    params = {"target": "plain", "metadata": "true"}
    model = onnx.load_from_string(service.client.get(address, params=params).content)
    onnx.checker.check_model(model)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["featherweight.target"] == "plain"
    assert said["featherweight.measured_sha256"] == hashlib.sha256(content).hexdigest()
    made = service.client.get(address, params={"target": "plain"}).content
    assert said["featherweight.file_sha256"] == hashlib.sha256(made).hexdigest()


def test_metadata_that_an_uploaded_file_claimed_are_not_said_twice(service):
    file = delivered(service, network(**{"featherweight.accuracy": "1.0"}))["onnx"]
    answer = service.client.get(f"/v1/artifacts/{file['id']}", params={"metadata": "true"})
    problem(answer, 422, "NotDescribed")
    assert "featherweight.accuracy" in answer.json()["detail"]


def test_programs_are_written_for_the_file(service, address):
    for language in ("python", "javascript", "cpp", "java"):
        answer = service.client.get(f"{address}/snippets/{language}")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert '"pixels"' in answer.text.replace("'", '"')
        assert "raw values: 0 to 16, as of the data" in answer.text
    ast.parse(service.client.get(f"{address}/snippets/python").text)


def test_what_is_no_network_has_no_card_no_program_and_no_metadata(service):
    files = delivered(service)
    address = f"/v1/artifacts/{files['onnx']['id']}"
    for path in ("/card", "/snippets/python", "?metadata=true"):
        problem(service.client.get(f"{address}{path}"), 422, "NotDescribed")
    other = f"/v1/artifacts/{files['manifest']['id']}"
    for path in ("/card", "/snippets/python", "?metadata=true"):
        problem(service.client.get(f"{other}{path}"), 422, "NotDescribed")
    assert service.client.get(f"{address}/snippets/perl").status_code == 422
    assert service.client.get(f"{address}/card", params={"format": "pdf"}).status_code == 422
