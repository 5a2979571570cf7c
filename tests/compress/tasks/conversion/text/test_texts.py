"""Texts, pairs and tagged sentences become ids, or are refused with line and column."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compress.tasks import loading, mapped
from compress.tasks.conversion.convert import convert
from compress.tasks.formats import npz, words
from compress.tasks.inspection import inspect_dataset
from compress.tasks.reading import DatasetReading

TEXTS = [
    {
        "text": f"The {('dog', 'cat')[n % 2]} number{n % 3} isn't here!",
        "label": ("ham", "spam")[n % 2],
        "split": ("train", "train", "val", "test")[n % 4 if n > 7 else 0],
    }
    for n in range(24)
]
TAGGED = [
    {
        "tokens": ["Ada", "Lovelace", "visited", f"Town{n}", "."],
        "tags": ["B-P", "I-P", "O", "B-L", "O"],
    }
    for n in range(10)
]


def jsonl(rows):
    return "\n".join(map(json.dumps, rows)).encode()


def csv(rows):
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    return "\r\n".join(";".join(f'"{field}"' for field in line) for line in lines).encode()


def parquet(rows):
    pq.write_table(pa.Table.from_pylist(rows), file := io.BytesIO())
    return file.getvalue()


def conll(rows):
    sentences = [zip(row["tokens"], row["tags"], strict=True) for row in rows]
    blocks = ["\n".join("\t".join(pair) for pair in each) for each in sentences]
    return ("-DOCSTART- O\n\n" + "\n\n".join(blocks) + "\n").encode()


def converted(content, folder, task="text_classification", **reading):
    (folder / "sent").write_bytes(content)
    asked = DatasetReading.model_validate({"task": task, **reading})
    caution = npz.Caution(most_ratio=200, seconds=60)
    with (folder / "made.npz").open("w+b") as target:
        said = convert(folder / "sent", target, asked, caution=caution)
    with np.load(folder / "made.npz") as arrays:
        return said, dict(arrays)


@pytest.mark.parametrize("form", [jsonl, csv, parquet])
def test_texts_become_ids_by_falling_frequency_in_training(form, tmp_path):
    said, arrays = converted(form(TEXTS), tmp_path)
    trained = [row for row in TEXTS if row["split"] == "train"]
    assert arrays["x_train"].shape == (len(trained), 8)
    assert arrays["x_train"].dtype == np.int32
    assert list(arrays["words"][:6]) == ["", "[UNK]", "!", "'", "here", "isn"]
    first = [str(arrays["words"][id_]) for id_ in arrays["x_train"][0]]
    assert first == ["the", "dog", "number0", "isn", "'", "t", "here", "!"]
    assert list(arrays["class_names"]) == ["ham", "spam"]
    assert "ids by falling frequency" in " ".join(said.notes)


def test_words_that_only_validation_and_test_have_are_unknown(tmp_path):
    rows = [*TEXTS, {"text": "zebra dog", "label": "ham", "split": "test"}]
    _, arrays = converted(jsonl(rows), tmp_path)
    assert arrays["x_test"][-1].tolist()[0] == 1
    assert "zebra" not in arrays["words"].tolist()
    info = inspect_dataset(tmp_path / "made.npz", task="text_classification")
    assert info.vocabulary == (len(arrays["words"]),)
    assert info.text.unknown["test"] > info.text.unknown["train"] == 0


def test_held_out_rows_do_not_count_for_the_vocabulary(tmp_path):
    rows = [{"text": f"own{n} same", "label": "ab"[n % 2]} for n in range(20)]
    _, arrays = converted(jsonl(rows), tmp_path)
    info = inspect_dataset(tmp_path / "made.npz", task="text_classification")
    assert info.held_out
    assert len(arrays["words"]) == 3 + info.splits["train"]
    assert info.text.unknown["validation"] == 0.5


def test_a_pair_is_two_rows_of_ids_with_one_vocabulary(tmp_path):
    rows = [{"premise": f"a man{n}", "hypothesis": "a dog", "label": str(n % 3)} for n in range(15)]
    _, arrays = converted(jsonl(rows), tmp_path, "text_matching")
    assert arrays["x_train"].shape == (15, 2, 2)
    assert arrays["x_train"][0, 0, 0] == arrays["x_train"][0, 1, 0]


@pytest.mark.parametrize("form", [jsonl, conll, parquet])
def test_sentences_keep_one_tag_for_each_word(form, tmp_path):
    _, arrays = converted(form(TAGGED), tmp_path, "sequence_labelling")
    assert arrays["x_train"].shape == arrays["y_train"].shape == (10, 5)
    names = arrays["class_names"].tolist()
    assert [names[tag] for tag in arrays["y_train"][3]] == TAGGED[3]["tags"]
    info = inspect_dataset(tmp_path / "made.npz", task="sequence_labelling")
    assert sum(info.class_counts["train"]) == 5 * info.splits["train"]


def test_shorter_sentences_have_no_tags_where_they_are_padded(tmp_path):
    rows = [*TAGGED, {"tokens": ["Go"], "tags": ["O"]}]
    _, arrays = converted(jsonl(rows), tmp_path, "sequence_labelling")
    assert arrays["y_train"][-1].tolist()[1:] == [-100] * 4
    assert arrays["x_train"][-1].tolist()[1:] == [0] * 4


def test_parts_of_words_have_vocabularies_of_their_own(tmp_path):
    _, arrays = converted(jsonl(TAGGED), tmp_path, "sequence_labelling", word_parts=True)
    assert arrays["x_train"].shape == (10, 4, 5)
    last = [
        arrays[name][id_]
        for name, id_ in zip(
            ("words", "suffixes", "prefixes", "shapes"), arrays["x_train"][0, :, 1], strict=True
        )
    ]
    assert last == ["lovelace", "ace", "lov", "Xxx"]
    info = inspect_dataset(tmp_path / "made.npz", task="sequence_labelling")
    assert info.vocabulary == tuple(
        len(arrays[name]) for name in ("words", "suffixes", "prefixes", "shapes")
    )


def test_options_bound_length_words_and_case(tmp_path):
    said, arrays = converted(jsonl(TEXTS), tmp_path, max_length=3, max_words=5, lower_case=False)
    assert arrays["x_train"].shape[1] == 3
    assert "The" in arrays["words"].tolist()
    assert len(arrays["words"]) == 5
    assert any("the rest is cut off" in warning for warning in said.warnings)


def test_the_same_file_gives_the_same_bytes(tmp_path):
    converted(jsonl(TEXTS), tmp_path)
    first = (tmp_path / "made.npz").read_bytes()
    converted(jsonl(TEXTS), tmp_path)
    assert (tmp_path / "made.npz").read_bytes() == first


def test_the_perturbed_copy_is_of_the_rows_that_validate(tmp_path):
    rows = [{"text": f"wonderful Weather{n} today", "label": "ab"[n % 2]} for n in range(40)]
    converted(jsonl(rows), tmp_path)
    data = loading.load(tmp_path / "made.npz", task="text_classification")
    assert data.perturbed.x_NCHW.shape == data.validation.x_NCHW.shape
    assert (data.perturbed.y_N == data.validation.y_N).all()
    assert not (data.perturbed.x_NCHW == data.validation.x_NCHW).all()


def test_a_mapped_dataset_keeps_words_and_perturbed_rows(tmp_path):
    converted(jsonl(TAGGED * 2), tmp_path, "sequence_labelling", word_parts=True)
    data = loading.load(tmp_path / "made.npz", task="sequence_labelling")
    mapped.write(data, tmp_path / "mapped")
    again = mapped.read(tmp_path / "mapped")
    assert again.words == data.words
    assert (again.perturbed.x_NCHW == data.perturbed.x_NCHW).all()
    assert (again.train.y_N == data.train.y_N).all()


def test_delivered_words_tell_their_ids_by_their_lines(tmp_path):
    converted(jsonl(TEXTS), tmp_path)
    kept = loading.load(tmp_path / "made.npz", task="text_classification").words
    all_words = kept.tables["words"]
    assert words.read(kept.files()["words.txt"]) == list(all_words)
    assert words.read(kept.files(4)["words.txt"]) == list(all_words[:4])
    some = words.read(kept.files((3, 5))["words.txt"])
    assert some == ["", "[UNK]", "", all_words[3], "", all_words[5]]
    assert kept.num_bytes(4) < kept.num_bytes((3, 5, 6)) < kept.num_bytes()
