"""Texts and ids that nobody should take as they are are refused with their row and column."""

from __future__ import annotations

import json

import numpy as np
import pytest

from compress.tasks.conversion.convert import convert
from compress.tasks.formats import npz
from compress.tasks.inspection import inspect_dataset
from compress.tasks.reading import DatasetReading
from compress.values.errors import InvalidData
from tests.compress.tasks.conversion.text.hostile_ids import HOSTILE_IDS, saved
from tests.compress.tasks.conversion.text.hostile_texts import HOSTILE

CAUTION = npz.Caution(most_ratio=200, seconds=60)


def made(content, task, folder):
    """The summary of the dataset that is made of a file."""
    (folder / "sent").write_bytes(content)
    with (folder / "made.npz").open("w+b") as target:
        convert(folder / "sent", target, DatasetReading(task=task), caution=CAUTION)
    return inspect_dataset(folder / "made.npz", task=task, caution=CAUTION)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_of_texts_is_refused_in_words(name, tmp_path):
    task, content, words = HOSTILE[name]
    with pytest.raises(InvalidData, match=words):
        made(content, task, tmp_path)


@pytest.mark.parametrize("name", HOSTILE_IDS)
def test_a_file_of_ids_is_refused_in_words(name, tmp_path):
    task, arrays, words = HOSTILE_IDS[name]
    with pytest.raises(InvalidData, match=words):
        made(saved(arrays), task, tmp_path)


@pytest.mark.parametrize("name", HOSTILE_IDS)
def test_a_dataset_that_claims_to_be_plain_is_checked_as_well(name, tmp_path):
    task, arrays, _ = HOSTILE_IDS[name]
    (tmp_path / "plain.npz").write_bytes(saved(arrays))
    with pytest.raises(InvalidData):
        inspect_dataset(tmp_path / "plain.npz", task=task, caution=CAUTION)


def test_a_vocabulary_of_one_word_is_taken_if_texts_differ_in_length(tmp_path):
    rows = [{"text": "a " * (1 + n % 2), "label": "xy"[n % 2]} for n in range(20)]
    info = made("\n".join(map(json.dumps, rows)).encode(), "text_classification", tmp_path)
    assert info.vocabulary == (3,)


def test_the_longest_text_that_a_line_takes_is_cut(tmp_path):
    rows = [{"text": f"b{n} " + "a " * 200_000, "label": "xy"[n % 2]} for n in range(4)]
    info = made("\n".join(map(json.dumps, rows)).encode(), "text_classification", tmp_path)
    assert info.input_shape == (512,)


def test_characters_that_cannot_be_printed_are_unknown_words(tmp_path):
    odd = "\u200d \x07 " + "w" * 300
    rows = [{"text": f"a{n} a {odd}", "label": "xy"[n % 2]} for n in range(20)]
    made("\n".join(map(json.dumps, rows)).encode(), "text_classification", tmp_path)
    with np.load(tmp_path / "made.npz") as arrays:
        assert all(word.isprintable() for word in arrays["words"].tolist())
        assert (arrays["x_train"][0] == 1).sum() >= 3
