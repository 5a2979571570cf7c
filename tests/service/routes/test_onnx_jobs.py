"""Jobs on uploaded ONNX files: what fits, what is refused, and what a worker is given."""

from __future__ import annotations

import json

import pytest

from compress.network.sources import onnx_inspection
from compress.network.sources.source import OnnxSource
from featherweight.specs.states import JobState
from store.files import inspections, models
from tests import factories, onnx_files
from tests.service.running import claim, problem

SEARCHED = {
    "filter_pruning": {"scope": ["global"], "ratio": [0.0, 0.25, 0.5]},
    "quantization": {"weight_bits": [8, 4]},
}


@pytest.fixture
def service(service):
    """A service with the dataset ``digits``: grey images of 8x8 pixels, two classes."""
    service.dataset()
    return service


def waiting(service, content, name):
    """A model whose inspection a process of somebody else has begun."""
    with service.database.write() as session:
        stored = service.files.put([content], limit=10**6)
        source = OnnxSource(sha256=stored.sha256)
        models.create(
            session, name=name, stored=stored, source=source, normalisation=None, info=None
        )
        begun = inspections.begin(session)
    assert begun is not None
    return begun


def ready(service, name="mine", **network):
    content = onnx_files.network(**network)
    begun = waiting(service, content, name)
    found = onnx_inspection.inspect(content)
    with service.database.write() as session:
        assert inspections.finish(
            session,
            begun,
            info=found.info.model_dump(mode="json"),
            outline=found.outline.model_dump(mode="json"),
            normalisation=found.info.identity.model_dump(mode="json"),
        )
    return begun.source.sha256


def posted(service, **changes):
    job = json.loads(factories.spec().model_dump_json())
    given = {"model": "mine", "techniques": SEARCHED}
    return service.client.post("/v1/jobs", json=job | given | changes)


def test_a_job_needs_a_model_data_and_objectives_and_nothing_more(service):
    ready(service)
    job = {"model": "mine", "data": "digits", "objectives": ["maximise accuracy"]}
    answer = service.client.post("/v1/jobs", json=job)
    assert answer.status_code == 201, answer.text
    found = answer.json()["spec"]["techniques"]
    assert "family_member" not in found
    assert {"filter_pruning", "quantization", "distillation"} < set(found)


def test_a_dry_run_shows_the_space_of_the_network(service):
    ready(service)
    answer = posted(service, **{"techniques": SEARCHED})
    assert answer.status_code == 201, answer.text
    job = answer.json()["spec"] | {"name": "dry"}
    dry = service.client.post("/v1/jobs", params={"dry_run": "true"}, json=job)
    assert dry.status_code == 200, dry.text
    assert {knob["name"] for knob in dry.json()["space"]} >= {"filter_pruning.ratio"}
    assert dry.json()["fit"] == (
        "'mine' takes images of 1 channel, 8x8 pixels and answers with 2 classes, as the data has "
        "them; it is given the values as they are, from 0 to 16: if it was trained on others, send "
        "it again with the normalisation of its training"
    )


def test_a_worker_is_given_the_file_by_its_digest(service):
    sha256 = ready(service)
    job = posted(service).json()["id"]
    with service.database.write() as session:
        record = factories.jobs.get(session, job)
        factories.jobs.move(session, record, JobState.RUNNING)
        factories.baseline_trial(session, record)
    given = claim(service).json()
    assert given["architecture"] == {"format": "onnx", "sha256": sha256, "input_shape": None}
    assert given["weights"] == {
        "sha256": sha256,
        "normalisation": {"scale": 1.0, "mean": [0.0], "std": [1.0]},
    }
    assert given["train"] is None


def test_a_job_on_a_model_that_is_inspected_is_told_to_come_again(service):
    waiting(service, onnx_files.network(), "mine")
    found = problem(posted(service), 409, "ModelNotReady")
    assert "'mine' is being inspected" in found["detail"]
    assert "GET /v1/models/" in found["detail"]


def test_a_job_on_a_refused_model_is_refused_with_the_reasons(service):
    begun = waiting(service, onnx_files.network(), "mine")
    with service.database.write() as session:
        inspections.refuse(session, begun, ["Loop (node 'again') is not taken"])
    found = problem(posted(service), 422, "ModelRefused")
    assert found["detail"].endswith("Loop (node 'again') is not taken")


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"image": (3, 8, 8)}, "takes images of 3 channels, 8x8 pixels (pixels (batch, 3, 8, 8)"),
        ({"image": (1, 9, 9)}, "9x9 pixels"),
        ({"image": (8, 8, 3), "nhwc": True}, "NHWC"),
        ({"classes": 7}, "tells 7 classes apart"),
    ],
    ids=["channels", "size", "layout", "classes"],
)
def test_data_that_do_not_fit_the_ports_are_refused_in_words(service, network, words):
    ready(service, **network)
    detail = problem(posted(service), 422, "ModelDoesNotFitData")["detail"]
    assert words in detail
    assert "the data 'digits' has images of 1 channel, 8x8 pixels and 2 classes" in detail


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"techniques": {"family_member": {}}}, "techniques.family_member: 'mine' is an ONNX file"),
        (
            {
                "techniques": {"family_member": {"weights": ["fresh"]}},
                "student": {"widths": [4, 8], "depths": [1, 1]},
            },
            "student and techniques.family_member",
        ),
        (
            {"techniques": {"family_member": {"weights": ["supernet"]}}, "supernet": {"epochs": 2}},
            "supernet and techniques.family_member",
        ),
    ],
    ids=["member", "student", "supernet"],
)
def test_members_and_supernets_are_for_families(service, asked, words):
    ready(service)
    detail = problem(posted(service, **asked), 422, "TechniqueDoesNotFit")["detail"]
    assert words in detail
    assert "only networks of a family have members" in detail


def test_an_uploaded_file_may_teach_another_network(service):
    ready(service, name="wise", seed=5)
    ready(service)
    taught = posted(service, techniques=factories.TAUGHT, teacher="wise")
    assert taught.status_code == 201, taught.text
    problem(posted(service, techniques=factories.TAUGHT, teacher="none"), 422, "UnknownModel")
