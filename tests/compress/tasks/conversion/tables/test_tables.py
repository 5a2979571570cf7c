"""Tables as people have them become datasets, or are refused with line and column."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from compress.tasks.conversion.convert import convert
from compress.tasks.formats import npz
from compress.tasks.inspection import inspect_dataset
from compress.tasks.reading import DatasetReading
from compress.values.errors import InvalidData

ROWS = [
    {"id": n, "length": n / 4, "width": -n, "species": ("setosa", "virginica")[n % 2]}
    for n in range(12)
]


def csv_of(rows, separator=",", before=""):
    lines = [rows[0].keys(), *(row.values() for row in rows)]
    return before + "\n".join(separator.join(map(str, line)) for line in lines) + "\n"


def jsonl_of(rows):
    return "\n".join(map(json.dumps, rows)) + "\n"


def converted(text, folder, **reading):
    path = folder / "table"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    made = io.BytesIO()
    asked = DatasetReading.model_validate({"task": "classification", **reading})
    said = convert(path, made, asked, caution=npz.Caution(most_ratio=200, seconds=60))
    (folder / "made.npz").write_bytes(made.getvalue())
    with np.load(folder / "made.npz") as arrays:
        return said, dict(arrays)


FORMS = {
    "csv": csv_of(ROWS),
    "semicolons": csv_of(ROWS, ";"),
    "tabs": csv_of(ROWS, "\t"),
    "a byte order mark": csv_of(ROWS, before="\ufeff"),
    "other ends of lines": csv_of(ROWS).replace("\n", "\r\n"),
    "empty lines": csv_of(ROWS).replace("\n", "\n\n"),
    "jsonl": jsonl_of(ROWS),
}


@pytest.mark.parametrize("form", FORMS)
def test_columns_are_chosen_by_name_and_in_that_order(form, tmp_path):
    said, arrays = converted(FORMS[form], tmp_path, target="species", features=["width", "length"])
    assert arrays["x_train"].tolist() == [[row["width"], row["length"]] for row in ROWS]
    assert arrays["y_train"].tolist() == [0, 1] * 6
    assert arrays["class_names"].tolist() == ["setosa", "virginica"]
    assert "the columns of x are, in this order: width, length (2 in all)" in said.notes
    info = inspect_dataset(tmp_path / "made.npz", task="classification")
    assert (info.input_shape, info.num_classes, info.held_out) == ((2,), 2, True)


def test_a_target_that_is_called_so_need_not_be_said(tmp_path):
    rows = [{"a": n, "Label": n % 3 + 1} for n in range(9)]
    said, arrays = converted(csv_of(rows), tmp_path)
    assert arrays["y_train"].tolist() == [0, 1, 2] * 3
    assert "labels are those of the column 'Label'" in said.notes
    assert any("they are counted anew" in warning for warning in said.warnings)


def test_a_column_called_split_tells_rows_apart(tmp_path):
    splits = ["train", "train", "val", "TEST"] * 3
    rows = [{**row, "split": split} for row, split in zip(ROWS, splits, strict=True)]
    _, arrays = converted(csv_of(rows), tmp_path, target="species", features=["id"])
    assert arrays["x_validation"].tolist() == [[2], [6], [10]]
    assert arrays["x_test"].tolist() == [[3], [7], [11]]
    assert len(arrays["y_train"]) == 6


def test_quoted_fields_may_hold_separators_and_ends_of_lines(tmp_path):
    text = 'a,"the ""b""",y\n1,"2",u\n"3",4,"v, or\nw"\n5,x,u\n'
    with pytest.raises(InvalidData, match=r"line 5, column 'the \"b\"' is 'x', which is no number"):
        converted(text, tmp_path)


def changed(row, **fields):
    return csv_of([*ROWS[:row], {**ROWS[row], **fields}, *ROWS[row + 1 :]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (changed(3, width="wide"), "line 5, column 'width' is 'wide', which is no number"),
        (changed(3, width=""), "line 5, column 'width' is empty"),
        (changed(0, length="nan"), "line 2, column 'length' is 'nan': fill in a number"),
        (changed(11, id="-inf"), "line 13, column 'id' is '-inf'"),
        (changed(2, id="1" * 65), "line 4, column 'id' is '1+', which is no number"),
        (changed(4, species=" "), "line 6, column 'species': the label is missing"),
        (changed(4, width="1,2"), r"line 6 has 5 fields, the header 4 \(id, length, width"),
        (csv_of(ROWS) + '1,2,3,"open', "cannot be read as csv"),
        (csv_of(ROWS).replace("length", "id"), "two columns are called 'id'"),
        (csv_of(ROWS).replace("length", " "), "no name of a column"),
        ("1,2,3\n4,5,6\n", "the first line must name the columns"),
        ("a\n1\n", "the table has no column 'species': it has a"),
        ("id,species\n" + "x" * (2**20 + 1), "line 2 has more than 1,048,576 characters"),
        ("id,length,width,species\n", "no row of train"),
        (b"id,species\n" + b"1,u\n" * 3000 + b"2,\xff\n", "the table must be UTF-8"),
        (b"id,species\n" + b"2,\xff\n" * 3, "neither csv nor jsonl in UTF-8"),
        (jsonl_of(ROWS) + "[1]\n", "line 13 is no JSON object, but list"),
        (jsonl_of(ROWS) + "{\n", "line 13 is no JSON object: "),
        (jsonl_of(ROWS) + "[" * 3000 + "\n", "line 13 is no JSON object"),
        (jsonl_of([*ROWS, {"id": 1}]), "line 13 has other keys than the first one: length, spec"),
        (jsonl_of([*ROWS, {**ROWS[0], "id": None}]), "line 13, column 'id': .*, got null"),
        (jsonl_of([*ROWS, {**ROWS[0], "id": float("nan")}]), "line 13, column 'id' is 'nan'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, words, tmp_path):
    with pytest.raises(InvalidData, match=words):
        converted(text, tmp_path, target="species")


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        ({}, "which column holds the labels.*the table has id, length, width and 1 more"),
        ({"target": "kind"}, "the table has no column 'kind'"),
        ({"target": "species", "features": ["id", "size"]}, "the table has no column 'size'"),
        ({"target": "species", "features": ["id", "species"]}, "not the target species"),
        ({"target": "species", "features": ["id", "id"]}, "columns once each"),
    ],
)
def test_columns_that_are_not_there_are_refused(reading, words, tmp_path):
    with pytest.raises(InvalidData, match=words):
        converted(csv_of(ROWS), tmp_path, **reading)


def test_images_are_no_tables_and_arrays_have_no_columns(tmp_path):
    with pytest.raises(InvalidData, match="--task classification --target COLUMN"):
        converted(csv_of(ROWS), tmp_path, task="image_classification")
    with pytest.raises(ValueError, match="say task: classification, too"):
        DatasetReading(target="species")
    np.savez(path := tmp_path / "x.npz", x_train=np.zeros((4, 2)), y_train=[0, 1, 0, 1])
    with pytest.raises(InvalidData, match="target and features are for tables"):
        converted(path.read_bytes(), tmp_path, target="species")


def test_a_split_that_train_does_not_know_is_refused(tmp_path):
    rows = [{"a": n, "y": "uv"[n > 8], "split": "test" if n > 8 else "train"} for n in range(12)]
    with pytest.raises(InvalidData, match="test holds the classes v, which train has not"):
        converted(csv_of(rows), tmp_path)


def test_whole_numbers_that_float32_rounds_are_warned_about_by_column(tmp_path):
    rows = [row | {"id": 2**24 + row["id"], "length": 2.0**25} for row in ROWS]
    said, arrays = converted(csv_of(rows), tmp_path, target="species")
    [warning] = said.warnings
    assert "whole numbers beyond 16,777,216 in id are rounded" in warning
    assert len(np.unique(arrays["x_train"][:, 0])) < len(rows)
    exact = [row | {"id": 2**24 - row["id"]} for row in ROWS]
    assert converted(csv_of(exact), tmp_path, target="species")[0].warnings == ()
