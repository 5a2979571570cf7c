"""Arrays of ids that nobody should take as they are, each with words of its refusal."""

from __future__ import annotations

import io

import numpy as np

ROWS = 20


def saved(arrays):
    np.savez(file := io.BytesIO(), **arrays)
    return file.getvalue()


def ids(*shape, dtype="<i4"):
    return np.random.default_rng(0).integers(1, 9, (ROWS, *shape)).astype(dtype)


def labels():
    return np.arange(ROWS) % 2


def texts(x=None, **others):
    return {"x_train": ids(6) if x is None else x, "y_train": labels()} | others


def pairs(x=None, **others):
    return {"x_train": ids(2, 6) if x is None else x, "y_train": labels()} | others


def sentences(x=None, y=None, **others):
    x = ids(6) if x is None else x
    y = np.arange(ROWS * 6).reshape(ROWS, 6) % 3 if y is None else y
    return {"x_train": x, "y_train": y} | others


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


TAGS = sentences()["y_train"]
WORDS = np.array(["", "[UNK]", *"abcdefg"])
TEXTS = {
    "a negative id": (texts(changed(ids(6), (4, 2), -1)), r"got -1 in row 4, column 2"),
    "an id beyond float32": (texts(changed(ids(6), (4, 2), 2**25)), r"got 33554432 in row 4, col"),
    "an id beyond its words": (
        texts(changed(ids(6), (4, 2), 9), words=WORDS),
        r"ids from 0 to 8, got 9 in row 4, column 2",
    ),
    "an empty text": (texts(changed(ids(6), 4, 0)), r"has no word in row 4"),
    "numbers that are no ids": (texts(ids(6, dtype="<f4")), r"must hold ids.*float32"),
    "texts": (texts(np.array(["a b"] * ROWS)), r"must hold ids"),
    "one axis": (texts(np.arange(ROWS)), r"must hold ids"),
    "three axes": (texts(ids(2, 6)), r"must hold ids of shape \(N, L\)"),
    "all ids the same": (texts(np.full((ROWS, 6), 5, "<i4")), r"all ids of x_train are the same"),
    "no rows": (texts(np.zeros((0, 6), "<i4"), y_train=np.zeros(0, int)), r"."),
    "too few labels": (texts(y_train=labels()[:-1]), r"y_train must have shape"),
    "one class": (texts(y_train=labels() * 0), r"at least 2 classes"),
    "no labels": ({"x_train": ids(6)}, r"'y_train' is missing"),
    "no ids": ({"y_train": labels()}, r"'x_train' is missing"),
    "other lengths of a split": (
        texts(x_test=ids(2, 3), y_test=labels()),
        r"(must hold ids|one shape|one text shape)",
    ),
    "validation without labels": (texts(x_validation=ids(6)), r"'y_validation' is missing"),
    "twice the same word": (texts(words=changed(WORDS, 3, "a")), r"has a word twice"),
    "an empty word": (texts(words=changed(WORDS, 3, "")), r"'' as word 3"),
    "words of numbers": (texts(words=np.arange(9)), r"words must be 2 to"),
    "a word of two lines": (
        texts(words=np.array(["", "[UNK]", "a\nb", *"cdefgh"])),
        r"as word 2: expected 1 to 64 printable",
    ),
    "one word": (texts(words=np.array([""])), r"words must be 2 to"),
    "suffixes without words": (texts(suffixes=WORDS), r"words must be in words, or in all of"),
    "parts for whole words": (
        texts(words=WORDS, suffixes=WORDS, prefixes=WORDS, shapes=WORDS),
        r"1 ids for each word .* 4 lists of words",
    ),
    "settings that are none": (
        texts(words=WORDS, settings=np.frombuffer(b'{"cut": "eval"}', np.uint8)),
        r"settings are not those of texts",
    ),
    "settings without an end": (
        texts(words=WORDS, settings=np.zeros(5000, np.uint8)),
        r"settings must be at most 4,096 bytes",
    ),
    "a strange array": (texts(z_train=ids(6)), r"unknown array 'z_train.npy'"),
    "objects": (texts(words=np.array([{}] * 9)), r"holds Python objects"),
    "a perturbed copy of other rows": (
        texts(x_perturbed=ids(6)[:3], y_perturbed=labels()[:3]),
        r"must be a copy of validation",
    ),
}
PAIRS = {
    "three sides": (pairs(ids(3, 6)), r"must hold ids of shape \(N, 2, L\)"),
    "one side": (pairs(ids(6)), r"must hold ids of shape \(N, 2, L\)"),
    "an empty side": (pairs(changed(ids(2, 6), (4, 1), 0)), r"no word in row 4, side b"),
    "a negative id": (pairs(changed(ids(2, 6), (4, 1, 3), -5)), r"got -5 in row 4"),
    "only one side": ({"a_train": ids(6), "y_train": labels()}, r"'b_train' is missing"),
    "sides of other rows": (
        {"a_train": ids(6), "b_train": ids(6)[:-1], "y_train": labels()},
        r"as many rows each",
    ),
}
SENTENCES = {
    "a word without a tag": (
        sentences(y=changed(TAGS, (4, 2), -100)),
        r"(got -100 in row 4, column 2|no tag \(-100\) in row 4, column 2)",
    ),
    "a negative tag": (sentences(y=changed(TAGS, (4, 2), -1)), r"got -1 in row 4, column 2"),
    "too many tags": (sentences(y=changed(TAGS, (4, 2), 20_000)), r"got 20000 in row 4, column 2"),
    "tags of texts": (sentences(y=labels()), r"must hold a tag for each id"),
    "tags of another length": (sentences(y=TAGS[:, :5]), r"must hold a tag for each id"),
    "tags that are no integers": (sentences(y=TAGS / 2), r"must hold a tag for each id"),
    "too many ids of a word": (sentences(ids(17, 6)), r"up to 16 ids of a word"),
    "half a word": (
        sentences(changed(ids(4, 6), (4, 1, 2), 0)),
        r"both padding \(0\) and ids for one word in row 4, column 2",
    ),
    "a tag that training has not": (
        sentences(
            x_validation=ids(6),
            y_validation=changed(TAGS, (4, 2), 7),
        ),
        r"class 7, y_train only 0 to 2",
    ),
    "fewer names than tags": (sentences(class_names=np.array(["O", "B"])), r"names 2 classes"),
    "words for one of two ids": (
        sentences(ids(2, 6), words=WORDS),
        r"2 ids for each word .* 1 lists of words",
    ),
}
HOSTILE_IDS = {
    f"{task}: {name}": (task, arrays, words)
    for task, some in (
        ("text_classification", TEXTS),
        ("text_matching", PAIRS),
        ("sequence_labelling", SENTENCES),
    )
    for name, (arrays, words) in some.items()
}
