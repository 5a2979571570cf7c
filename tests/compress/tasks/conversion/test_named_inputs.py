"""Arrays that are named as the inputs of a network."""

from __future__ import annotations

import io

import numpy as np
import pytest

from compress.tasks import inspection, loading
from compress.tasks.conversion import arrays, convert
from compress.tasks.formats import npz
from compress.tasks.reading import DatasetReading
from compress.values.errors import InvalidData

READING = DatasetReading(task="classification")
RANDOM = np.random.default_rng(0)
LABELS = np.arange(40) % 3


def mixed(count=40):
    return {
        "image_train": RANDOM.normal(size=(count, 2, 3, 4)).astype(np.float32),
        "kind_train": RANDOM.integers(0, 7, (count, 2)),
        "age_train": RANDOM.normal(size=count),
    }


def remade(given, tmp_path, reading=READING):
    """The dataset of these arrays, and what was said."""
    sent, made = tmp_path / "sent.npz", tmp_path / "made.npz"
    np.savez(sent, **given)
    assert not arrays.is_plain(sent, reading)
    target = io.BytesIO()
    found = convert.convert(sent, target, reading)
    made.write_bytes(target.getvalue())
    assert arrays.is_plain(made, reading)
    return made, found


def test_an_example_holds_its_inputs_one_after_the_other(tmp_path):
    given = {**mixed(), "y_train": LABELS}
    made, found = remade(given, tmp_path)
    assert found.notes[0] == "an example holds the inputs image (2, 3, 4), kind (2,), age ()"
    data = loading.load(made, task="classification")
    parts = [given[f"{name}_train"].reshape(40, -1) for name in ("image", "kind", "age")]
    x = np.concatenate(parts, axis=1).astype(np.float32)
    rows = np.concatenate([data.train.x_NCHW.numpy(), data.validation.x_NCHW.numpy()])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], x[np.lexsort(x.T)])
    info = inspection.inspect_dataset(made, task="classification")
    assert [(part.name, part.shape, part.is_whole) for part in info.inputs] == [
        ("image", (2, 3, 4), False),
        ("kind", (2,), True),
        ("age", (), False),
    ]
    assert info.inputs[1].value_range == (0, given["kind_train"].max())


def test_sequences_of_one_length_lie_under_each_other(tmp_path):
    given = {
        f"{name}_{split}": RANDOM.integers(1, 9, (8, 5))
        for split in ("train", "val")
        for name in ("left", "right")
    }
    made, _ = remade(given, tmp_path, DatasetReading(task="unlabelled"))
    data = loading.load(made, task="unlabelled")
    np.testing.assert_array_equal(data.train.x_NCHW[:, 1], given["right_train"])
    np.testing.assert_array_equal(data.validation.x_NCHW[:, 0], given["left_val"])
    info = inspection.inspect_dataset(made, task="unlabelled")
    assert (info.input_shape, [part.name for part in info.inputs]) == ((2, 5), ["left", "right"])


def of_ids(**changes):
    ids = np.asarray([[5, 6, 7, 0], [8, 9, 0, 0]] * 4)
    given = {"input_ids": ids, "attention_mask": (ids != 0).astype(int), "token_type_ids": 0 * ids}
    return {f"{name}_train": values for name, values in (given | changes).items()} | {
        "y_train": np.arange(8) % 2
    }


def test_masks_that_follow_from_ids_are_left_out(tmp_path):
    made, found = remade(of_ids(), tmp_path)
    assert found.notes[:2] == (
        "examples are those of the input input_ids",
        "attention_mask is left out: networks get it made of input_ids",
    )
    info = inspection.inspect_dataset(made, task="classification")
    assert (info.input_shape, info.inputs) == ((4,), ())


def test_many_rows_are_read_together_some_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "CHUNK_BYTES", 256)
    given = {**mixed(300), "y_train": np.arange(300) % 3}
    made, _ = remade(given, tmp_path)
    with inspection.open_dataset(made) as archive:
        x = archive.read("x_train")
    np.testing.assert_array_equal(x[:, 24:26], given["kind_train"])
    np.testing.assert_array_equal(x[:, 26], given["age_train"].astype(np.float32))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (of_ids(attention_mask=np.ones((8, 4), int)), "row 0, column 3, beside the id 0"),
        (of_ids(token_type_ids=np.ones((8, 4), int)), "must be 0 everywhere"),
        (of_ids(attention_mask=np.ones((8, 5), int)), "must have the shape of input_ids_train"),
        ({**mixed(), "y_train": LABELS, "age_test": np.ones(3)}, "'image_test' is missing"),
        (mixed(), "'y_train' is missing"),
        ({**mixed(), "y_train": LABELS, "age_train": np.ones(3)}, "as many examples, got"),
        ({**mixed(), "y_train": LABELS, "data": np.ones((40, 2))}, "'data' does not say its split"),
        ({**mixed(), "y_train": LABELS, "a\n_train": np.ones((40, 2))}, "no name of an input"),
        ({**mixed(), "y_train": LABELS, "age_train": np.asarray(["a"] * 40)}, "must be numbers"),
        (
            {"x_train": np.ones((40, 2)), "y_train": LABELS, "input_parts": np.asarray(["1 a"])},
            "says what x_train holds",
        ),
    ],
    ids=["mask", "kinds", "shape", "split", "labels", "rows", "bare", "name", "texts", "parts"],
)
def test_what_does_not_fit_together_is_refused(given, words, tmp_path):
    with pytest.raises(InvalidData, match=words):
        remade(given, tmp_path)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (["2 a", "3 b"], r"says examples of shape \(5,\), those of x_train have \(4,\)"),
        (["2 a", "2 a"], "names an input twice"),
        (["2 a"], "must be 2 to 16 texts"),
        (["2 a", "0 b"], "such as '3x8x8 image', got '0 b'"),
        (["2 a", "2x b"], "got '2x b'"),
        (["3 a", "- \x07"], "no name of an input"),
        ([1, 2], "must be 2 to 16 texts"),
    ],
)
def test_parts_that_are_none_are_refused(parts, words, tmp_path):
    path = tmp_path / "kept.npz"
    x = RANDOM.normal(size=(40, 4)).astype(np.float32)
    np.savez(path, x_train=x, y_train=LABELS, input_parts=np.asarray(parts))
    with pytest.raises(InvalidData, match=words):
        inspection.inspect_dataset(path, task="classification")
