"""Texts that are sent become datasets of ids; what is wrong with one is said with its line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.service.running import form, npz, problem

ROWS = [{"text": f"this is text {n}", "label": ("no", "yes")[n % 2]} for n in range(40)]
IDS = np.random.default_rng(0).integers(1, 9, (40, 6))


def sent(service, rows, **fields):
    content = "\n".join(map(json.dumps, rows)).encode()
    said = {"name": "words", "task": "text_classification", **fields}
    return service.client.post("/v1/datasets", **form(content, **said))


def test_texts_become_a_dataset_that_says_its_vocabulary(service):
    answer = sent(service, ROWS, max_length=3)
    assert answer.status_code == 201, answer.text
    info = answer.json()["info"]
    assert (info["input_shape"], info["dtype"], info["class_names"]) == (
        [3],
        "int32",
        ["no", "yes"],
    )
    assert info["text"]["vocabulary"] == [5]
    assert info["text"]["settings"]["max_length"] == 3
    assert info["origin"]["format"] == "jsonl"
    again = sent(service, ROWS, max_length=3)
    assert (again.status_code, again.json()) == (200, answer.json())


@pytest.mark.parametrize(("width", "is_kept"), [("<i4", True), ("<u2", False)])
def test_ids_are_kept_as_they_are_or_made_so(width, is_kept, service):
    arrays = npz(x_train=IDS.astype(width), y_train=np.arange(40) % 2)
    said = {"name": "ids", "task": "text_classification"}
    answer = service.client.post("/v1/datasets", **form(arrays, **said))
    assert answer.status_code == 201, answer.text
    info = answer.json()["info"]
    assert (info["origin"] is None) == is_kept
    assert (info["text"]["vocabulary"], info["dtype"]) == ([9], "int32")


def test_a_text_without_words_is_refused_with_its_line(service):
    answer = sent(service, [*ROWS, {"text": " ", "label": "no"}])
    assert "line 41, column 'text' has no word" in problem(answer, 422, "InvalidData")["detail"]


def test_options_of_texts_are_refused_for_other_data(service):
    answer = sent(service, ROWS, task="classification", max_words=10)
    said = json.dumps(problem(answer, 422, "RequestValidationError"))
    assert "are for texts: say task" in said
