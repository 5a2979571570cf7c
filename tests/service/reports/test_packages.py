"""What belongs to a network of texts is delivered, counted and described."""

from __future__ import annotations

import numpy as np
import pytest

from featherweight.cards.card import ModelCard
from featherweight.cards.package import Package
from store.files import file_store
from store.jobs import jobs
from store.tables.records import DatasetRecord
from tests import text_files
from tests.service.delivering import delivered
from tests.service.running import problem


@pytest.fixture
def address(service, tmp_path) -> str:
    """The address of a file of a job on texts."""
    path, info = text_files.dataset(tmp_path)
    content = text_files.bag(np.eye(info.vocabulary[0], 2))
    artifact = delivered(service, content)["onnx"]
    with service.database.write() as session:
        stored = service.files.put([path.read_bytes()], limit=10**7)
        file_store.record(session, stored)
        record = session.get(DatasetRecord, jobs.get(session, artifact["job"]).dataset_id)
        record.sha256, record.info = stored.sha256, info.model_dump(mode="json")
    return f"/v1/artifacts/{artifact['id']}"


def test_words_and_settings_come_with_a_file(service, address):
    found = Package.model_validate(service.client.get(f"{address}/words").json())
    assert set(found.files) == {"words.txt", "settings.json"}
    assert found.files["words.txt"].splitlines()[0] == "."
    assert found.num_bytes == sum(len(text.encode()) for text in found.files.values())


def test_the_card_says_how_a_sentence_becomes_ids(service, address):
    card = ModelCard.model_validate(service.client.get(f"{address}/card").json())
    assert card.text.settings.cut == "text"
    text = service.client.get(f"{address}/card", params={"format": "markdown"}).text
    assert "## From a text to the input" in text
    assert "every match of the pattern is a word" in text


def test_the_program_in_python_reads_the_words(service, address):
    answer = service.client.get(f"{address}/snippets/python")
    assert "settings.json" in answer.text
    answer = service.client.get(f"{address}/snippets/java")
    assert "take python" in problem(answer, 422, "NotDescribed")["detail"]


def test_a_file_of_images_has_no_words(service):
    artifact = delivered(service, b"abc" * 100)["onnx"]
    answer = service.client.get(f"/v1/artifacts/{artifact['id']}/words")
    assert answer.status_code == 422
