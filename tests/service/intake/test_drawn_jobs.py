"""Jobs that train networks for text, tables and signals: what fits them, and what does not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from compress.network.families.drawn.word_bag import WordBag
from compress.network.sources.source import DrawnSource
from featherweight.specs.states import JobState
from store.jobs import jobs
from tests import factories
from tests.service.running import form, npz, problem

COUNT = 60
LABELS = np.arange(COUNT) % 4
IDS = np.random.default_rng(0).integers(0, 20, (COUNT, 9)).astype(np.int32)
IDS[:, 0], IDS[0, 1] = 1, 19
SEARCHED = {"quantization": {"weight_bits": [8, 4]}}


def sent(service, x, name="rows", **fields):
    content = npz(x_train=x, y_train=LABELS, x_test=x, y_test=LABELS)
    answer = service.client.post("/v1/datasets", **form(content, name=name, **fields))
    assert answer.status_code == 201, answer.text


def posted(service, architecture, *, task="text_classification", **changes):
    job = json.loads(factories.spec().model_dump_json())
    model = {"architecture": architecture, "epochs": 2, **changes.pop("model", {})}
    given = {"task": task, "model": model, "data": "rows", "techniques": SEARCHED}
    return service.client.post("/v1/jobs", json=job | given | changes)


def why_not(service, architecture, code="ModelDoesNotFitData", **changes):
    return problem(posted(service, architecture, **changes), 422, code)["detail"]


def test_a_worker_is_told_what_the_data_has_decided(service):
    sent(service, np.sort(IDS, axis=1)[:, ::-1], task="text_classification")
    answer = posted(service, {"family": "word_bag", "width": 8})
    assert answer.status_code == 201, answer.text
    asked = answer.json()["spec"]["model"]["architecture"]
    assert (asked["family"], asked["words"]) == ("word_bag", None)
    with service.database.write() as session:
        [job] = jobs.active(session)
        jobs.move(session, job, JobState.RUNNING)
        factories.baseline_trial(session, job)
    with service.database.write() as session:
        given = factories.must_claim(session)
    assert given.architecture == DrawnSource(WordBag(width=8, words=20, predicts="scores"))


def test_what_is_for_other_data_is_refused_before_anything_is_trained(service):
    sent(service, np.sort(IDS, axis=1)[:, ::-1], task="text_classification")
    said = "networks of the family siamese_bag are for classification, multilabel, regression and "
    assert why_not(service, {"family": "siamese_bag"}).startswith(f"model.architecture: {said}")
    assert "families for this data: word_bag, text_cnn, text_encoder" in (
        why_not(service, {"family": "recurrent_tagger"})
    )
    assert "look ids up in a table" in why_not(
        service, {"family": "word_bag"}, model={"normalisation": {"mean": [0], "std": [1]}}
    )
    assert "words is 5, and the data has ids up to 19" in (
        why_not(service, {"family": "word_bag", "words": 5})
    )


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("student and techniques.family_member", {"student": {"family": "residual"}}),
        ("supernet and techniques.family_member", {"supernet": {"epochs": 2}}),
        ("techniques.family_member", {}),
    ],
)
def test_members_that_there_are_not_are_refused(service, field, changes):
    sent(service, np.sort(IDS, axis=1)[:, ::-1], task="text_classification")
    asked = {"techniques": {"family_member": {"width": [0.5, 1.0]}}, **changes}
    said = why_not(service, {"family": "word_bag"}, "TechniqueDoesNotFit", **asked)
    assert said.startswith(f"{field}: networks of the family word_bag have no members")


def test_a_table_is_normalised_column_by_column(service):
    sent(service, np.random.default_rng(0).normal(size=(COUNT, 40)), task="classification")
    answer = posted(service, {"family": "mlp"}, task="classification")
    assert answer.status_code == 201, answer.text
    assert "take ids" in why_not(service, {"family": "word_bag"}, task="classification")


def test_weights_of_a_drawn_network_are_not_uploaded(service):
    said = {"architecture": {"family": "mlp"}, "normalisation": {"mean": [0], "std": [1]}}
    answer = service.client.post("/v1/models", **form(b"x" * 100, **said))
    assert "send a network that is trained already as an ONNX file" in answer.text
