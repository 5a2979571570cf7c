"""Malformed and hostile files of every kind, sent to a service: words, and nothing that stays."""

import io
import time

import numpy as np
import psutil
import pytest
from sqlalchemy import func, select

from store.tables.records import DatasetRecord, FileRecord, ModelRecord, UploadRecord
from tests import factories
from tests.compress.network.graph.hostile import FILES as HOSTILE_NETWORKS
from tests.compress.network.sources.hostile_weights import HOSTILE as HOSTILE_WEIGHTS
from tests.compress.tasks.conversion.hostile_arrays import HOSTILE as HOSTILE_ARRAYS
from tests.compress.tasks.conversion.hostile_pictures import HOSTILE as HOSTILE_PICTURES
from tests.compress.tasks.conversion.hostile_pictures import zipped
from tests.service.running import form, problem

SECONDS = 60
MOST_WORDS = 2500
KEPT = (DatasetRecord, ModelRecord, FileRecord, UploadRecord)


def npz(contents):
    if isinstance(contents, bytes):
        return contents
    buffer = io.BytesIO()
    np.savez(buffer, **contents)
    return buffer.getvalue()


def as_data(service, content):
    return problem(
        service.client.post("/v1/datasets", **form(content, name="x")), 422, "InvalidData"
    )["detail"]


def as_weights(service, content):
    spec = {
        "architecture": factories.ARCHITECTURE.model_dump(mode="json"),
        "normalisation": {"scale": 1.0, "mean": [0.0], "std": [1.0]},
    }
    answer = service.client.post("/v1/models", **form(content, name="x", **spec))
    return problem(answer, 422, "InvalidWeights")["detail"]


def as_network(service, content):
    """Words of the inspection; whoever sent the file deletes it then."""
    answer = service.client.post("/v1/models", **form(content, name="x"))
    if answer.status_code == 422:
        return problem(answer, 422, answer.json()["code"])["detail"]
    assert answer.status_code == 201, answer.text
    until = time.monotonic() + SECONDS
    while (found := service.client.get("/v1/models/x").json())["state"] == "inspecting":
        assert time.monotonic() < until
        time.sleep(0.02)
    assert found["state"] == "refused"
    assert service.client.delete("/v1/models/x").status_code == 204
    return " ".join(found["reasons"])


def left(service):
    """What a service has kept: rows, files and processes."""
    folder = service.files.folder
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    with service.database.read() as session:
        rows = [session.scalar(select(func.count()).select_from(record)) for record in KEPT]
    return rows, sorted(map(str, files)), psutil.Process().children(recursive=True)


KINDS = {
    "npz": (as_data, npz, HOSTILE_ARRAYS),
    "pictures": (
        as_data,
        lambda content: content if isinstance(content, bytes) else zipped(content),
        HOSTILE_PICTURES,
    ),
    "weights": (as_weights, lambda content: content, HOSTILE_WEIGHTS),
    "network": (
        as_network,
        lambda make: make(),
        {name: (make, words) for name, (make, words) in HOSTILE_NETWORKS.items()},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_at_least_forty_of_every_kind(kind):
    assert len(KINDS[kind][2]) >= 40


@pytest.mark.proof
@pytest.mark.parametrize("kind", KINDS)
def test_every_one_is_refused_in_words_and_nothing_is_left(service, kind):
    send, made, corpus = KINDS[kind]
    before = left(service)
    for name, (content, _) in corpus.items():
        words = send(service, made(content))
        assert words, name
        assert len(words) < MOST_WORDS, name
        assert "Traceback" not in words, name
        assert left(service) == before, name
