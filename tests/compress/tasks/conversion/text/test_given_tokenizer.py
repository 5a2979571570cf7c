"""A tokenizer.json that somebody sent cuts texts, or is refused by the part that is not used."""

from __future__ import annotations

import copy
import io
import json
import sys
import zipfile

import numpy as np
import pytest

from compress.tasks import loading
from compress.tasks.conversion.convert import convert
from compress.tasks.formats import npz
from compress.tasks.inspection import inspect_dataset
from compress.tasks.reading import DatasetReading
from compress.values.errors import InvalidData

CAUTION = npz.Caution(most_ratio=200, seconds=60)
GOOD = {
    "version": "1.0",
    "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
    "padding": {
        "strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    },
    "added_tokens": [],
    "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}]},
    "post_processor": None,
    "decoder": None,
    "model": {
        "type": "WordLevel",
        "vocab": {"[PAD]": 0, "[UNK]": 1, "good": 2, "film": 3, "bad": 4},
        "unk_token": "[UNK]",
    },
}  # fmt: skip
ROWS = [
    {"text": f"{('good', 'bad')[n % 2]} Film {n}", "label": ("yes", "no")[n % 2]} for n in range(20)
]


def changed(**parts):
    return json.dumps(copy.deepcopy(GOOD) | parts).encode()


def zipped(**files):
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return file.getvalue()


def bundle(tokenizer):
    texts = "\n".join(map(json.dumps, ROWS))
    return zipped(tokenizer__json=tokenizer, texts__jsonl=texts)


def made(content, folder, task="text_classification", **reading):
    (folder / "sent").write_bytes(content)
    asked = DatasetReading.model_validate({"task": task, **reading})
    with (folder / "made.npz").open("w+b") as target:
        convert(folder / "sent", target, asked, caution=CAUTION)
    return inspect_dataset(folder / "made.npz", task=asked.task, caution=CAUTION)


def test_texts_are_cut_by_the_tokenizer_that_came_with_them(tmp_path):
    pytest.importorskip("tokenizers")
    info = made(bundle(changed()), tmp_path)
    assert info.vocabulary == (5,)
    assert info.text.settings.cut == "tokenizer"
    with np.load(tmp_path / "made.npz") as arrays:
        assert arrays["x_train"][0].tolist() == [2, 3, 1]
        kept = json.loads(arrays["tokenizer"].tobytes())
    assert (kept["padding"], kept["truncation"]) == (None, None)
    assert info.text.words_bytes > len(json.dumps(GOOD["model"]))


def test_without_the_library_the_refusal_says_what_to_send(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(InvalidData, match="send an npz of the ids"):
        made(bundle(changed()), tmp_path)


def test_sentences_without_labels_are_ids_to_calibrate_with(tmp_path):
    pytest.importorskip("tokenizers")
    texts = "\n".join(json.dumps({"text": row["text"]}) for row in ROWS)
    content = zipped(tokenizer__json=changed(), texts__jsonl=texts)
    info = made(content, tmp_path, "unlabelled", max_length=2)
    assert (info.input_shape, info.dtype, info.num_classes) == ((2,), "int32", 0)
    assert info.text.settings.cut == "tokenizer"
    data = loading.load(tmp_path / "made.npz", task="unlabelled")
    assert data.train.x_NCHW[0].tolist() == [2, 3]


def test_options_of_texts_without_a_tokenizer_are_refused_for_unlabelled_data(tmp_path):
    with pytest.raises(InvalidData, match="send these with the tokenizer"):
        made(b"a,b\n1,2\n3,4\n", tmp_path, "unlabelled", max_length=2)


REGEX = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
nested = {"type": "Lowercase"}
for _ in range(8):
    nested = {"type": "Sequence", "normalizers": [nested]}
MODEL = GOOD["model"]
REFUSED = {
    "nothing": (b"", "no JSON"),
    "no JSON": (b"{", "no JSON"),
    "not UTF-8": (b"\xff\xfe{}", "no JSON"),
    "deep JSON": (b"[" * 100_000, "no JSON"),
    "a list": (b"[]", "must have a model"),
    "an empty object": (b"{}", "must have a model"),
    "a model that is a text": (changed(model="BPE"), "must have a model"),
    "an unknown model": (changed(model={"type": "Program"}), "got 'Program'"),
    "an unknown normalizer": (
        changed(normalizer={"type": "Exec"}),
        "normalizer of the type 'Exec'",
    ),
    "a normalizer that is a list": (changed(normalizer=[1]), "no normalizer that can be used"),
    "a normalizer of no type": (changed(normalizer={}), "of the type 'None'"),
    "a deep normalizer": (changed(normalizer=nested), "no normalizer that can be used"),
    "a wide normalizer": (
        changed(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 1000}),
        "no normalizer that can be used",
    ),
    "a hidden normalizer": (
        changed(normalizer={"type": "Sequence", "normalizers": [{"type": "Exec"}]}),
        "of the type 'Exec'",
    ),
    "a pattern of its own": (changed(pre_tokenizer=REGEX), "regular expression of its own"),
    "a pattern in a normalizer": (
        changed(normalizer={"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}),
        "regular expression of its own",
    ),
    "an unknown processor": (changed(post_processor={"type": "X"}), "post_processor of the type"),
    "megabytes": (b" " * (9 * 2**20), "at most 8,388,608"),
}
NEEDING = {
    "a model without words": (changed(model=MODEL | {"vocab": {}}), "ids up to 0"),
    "an id without an end": (
        changed(model=MODEL | {"vocab": MODEL["vocab"] | {"z": 4_000_000_000}}),
        "ids up to 4,000,000,000",
    ),
    "a negative id": (changed(model=MODEL | {"vocab": {"a": -1}}), "cannot be used"),
    "words of a wrong type": (changed(model=MODEL | {"vocab": [1, 2]}), "cannot be used"),
    "a model without a type of its parts": (changed(model={"type": "BPE"}), "cannot be used"),
    "padding that is a word": (
        changed(model=MODEL | {"vocab": {"good": 0, "[UNK]": 1, "film": 2, "bad": 3}}),
        "gives the id 0 to 'good'",
    ),
    "a processor without its words": (
        changed(post_processor={"type": "TemplateProcessing", "single": [], "pair": []}),
        "cannot be used",
    ),
}


@pytest.mark.parametrize("name", [*REFUSED, *NEEDING])
def test_a_tokenizer_is_refused_in_words(name, tmp_path):
    content, words = {**REFUSED, **NEEDING}[name]
    if name in NEEDING:
        pytest.importorskip("tokenizers")
    with pytest.raises(InvalidData, match=words):
        made(bundle(content), tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped(tokenizer__json="{}"), "has two files"),
        (zipped(a__json="{}", b__jsonl=""), "has two files"),
        (zipped(tokenizer__json="{}", a__csv="", b__csv=""), "has two files"),
        (zipped(tokenizer__json="{}", texts__csv="a")[:90], "cannot be read|has"),
    ],
    ids=["a tokenizer alone", "no tokenizer", "two texts", "cut off"],
)
def test_a_zip_of_other_files_is_refused(content, words, tmp_path):
    with pytest.raises(InvalidData, match=words):
        made(content, tmp_path)


def test_options_that_a_tokenizer_says_itself_are_refused(tmp_path):
    with pytest.raises(InvalidData, match=r"a tokenizer\.json says that itself"):
        made(bundle(changed()), tmp_path, max_words=10)
