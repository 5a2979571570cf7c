"""Parquet tables become datasets as csv does; hostile ones are refused in words and in bounds."""

from __future__ import annotations

import io
import random
import sys
import tempfile

import numpy as np
import pyarrow as pa
import pytest

from compress.tasks.conversion.convert import verdict
from compress.tasks.formats import npz
from compress.tasks.reading import ConversionVerdict, DatasetReading, RefusedFile
from featherweight.system import bounded
from tests.compress.tasks.conversion import hostile_parquet
from tests.compress.tasks.conversion.hostile_parquet import good, long, saved

COUNT = 12
NUMBERS = [n / 4 for n in range(COUNT)]
LABELS = ["setosa", "virginica"] * (COUNT // 2)
FRAME = {"id": range(COUNT), "length": NUMBERS, "species": LABELS}


def found(data, folder, **said):
    """What is said of a file, and the arrays that were written."""
    path, made = folder / "table", io.BytesIO()
    path.write_bytes(data)
    reading = DatasetReading.model_validate({"task": "classification", **said})
    caution = npz.Caution(most_ratio=200, seconds=60)
    answer = verdict(path, made, reading, caution=caution).found
    if isinstance(answer, RefusedFile):
        return answer.reason, {}
    made.seek(0)
    with np.load(made) as arrays:
        return answer, dict(arrays)


def frame(**columns):
    return saved(pa.table({name: pa.array(values) for name, values in (FRAME | columns).items()}))


FORMS = {
    "plain": frame(),
    "small row groups": saved({k: list(v) for k, v in FRAME.items()}, row_group_size=5),
    "no dictionaries": saved({k: list(v) for k, v in FRAME.items()}, use_dictionary=False),
    "compressed": saved({k: list(v) for k, v in FRAME.items()}, compression="zstd"),
    "newer pages": saved({k: list(v) for k, v in FRAME.items()}, data_page_version="2.0"),
    "categories": frame(species=pa.array(LABELS).dictionary_encode()),
    "large texts": frame(species=pa.array(LABELS, pa.large_string())),
    "views": frame(species=pa.array(LABELS, pa.string_view())),
    "halves": frame(length=pa.array(NUMBERS, pa.float16())),
    "an index of pandas": frame(__index_level_0__=range(COUNT)),
    "an odd column that nobody asks for": frame(raw=[[b"x"]] * COUNT),
    "a dot in a name": frame(**{"a.b": range(COUNT)}),
}


@pytest.mark.parametrize("form", FORMS)
def test_columns_are_chosen_by_name_and_in_that_order(form, tmp_path):
    said, arrays = found(FORMS[form], tmp_path, target="species", features=["length", "id"])
    assert arrays["x_train"].tolist() == [[n / 4, n] for n in range(COUNT)]
    assert arrays["x_train"].dtype == np.float32
    assert arrays["y_train"].tolist() == [0, 1] * 6
    assert arrays["class_names"].tolist() == ["setosa", "virginica"]
    assert said.format == "parquet"
    assert "the columns of x are, in this order: length, id (2 in all)" in said.notes


def test_all_but_target_split_and_index_are_features(tmp_path):
    splits = ["train", "train", "val", "TEST"] * 3
    whole = frame(
        flag=[n % 3 == 0 for n in range(COUNT)], split=splits, __index_level_0__=FRAME["id"]
    )
    said, arrays = found(whole, tmp_path, target="species")
    assert arrays["x_validation"].tolist() == [[n, n / 4, n % 3 == 0] for n in (2, 6, 10)]
    assert len(arrays["y_test"]) == 3
    assert "the columns of x are, in this order: id, length, flag (3 in all)" in said.notes


def test_labels_may_be_numbers_and_rows_many(tmp_path):
    count = 2 * 4096 + 3
    labels = [n % 3 + 1 for n in range(count)]
    data = saved({"a": list(range(count)), "y": labels}, row_group_size=5000)
    said, arrays = found(data, tmp_path)
    assert arrays["x_train"][:, 0].tolist() == list(range(count))
    assert arrays["y_train"].tolist() == [label - 1 for label in labels]
    assert any("they are counted anew" in warning for warning in said.warnings)


@pytest.mark.parametrize("name", hostile_parquet.FILES)
def test_what_is_odd_is_refused_in_words(name, tmp_path):
    data, words = hostile_parquet.FILES[name]
    reason, arrays = found(data, tmp_path, target="y")
    assert isinstance(reason, str), reason
    assert not arrays
    assert len(reason) < 700
    with pytest.raises(ValueError, match=words):
        raise ValueError(reason)


def test_a_changed_byte_of_a_page_is_refused_or_read_and_nothing_else(tmp_path):
    # A changed footer can end the process: see service.intake.data_files.
    draws, data = random.Random(3), good()
    pages, _ = hostile_parquet.parts(data)
    refused = 0
    for _ in range(100):
        changed = bytearray(data)
        changed[draws.randrange(4, len(pages))] ^= 1 << draws.randrange(8)
        reason, _arrays = found(bytes(changed), tmp_path, target="y")
        refused += isinstance(reason, str)
    assert refused > 20


def in_child(data, folder):
    path = folder / "table"
    path.write_bytes(data)
    bounds = bounded.ProcessBounds(
        memory_bytes=2**30, seconds=60, answer_bytes=2**20, output_bytes=2**24
    )
    reading = DatasetReading.model_validate({"task": "classification", "target": "y"})
    command = ["compress.tasks.conversion.convert", reading.model_dump_json(), "60"]
    with tempfile.TemporaryFile() as made, tempfile.TemporaryFile() as progress:
        outputs = [made, progress]
        ended = bounded.run(command, path, bounds, is_wanted=lambda: True, outputs=outputs)
    assert ended.words == "", ended.error
    return ConversionVerdict.model_validate_json(ended.answer).found


def test_a_gigabyte_of_addresses_is_enough(tmp_path):
    assert in_child(long(), tmp_path).format == "parquet"
    data, _ = hostile_parquet.FILES["a text of 5 MB, 2,000 times"]
    assert "a text of 5,000,000 bytes" in in_child(data, tmp_path).reason


def test_without_pyarrow_the_way_out_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "compress.tasks.conversion.tables.parquet", raising=False)
    reason, _ = found(good(), tmp_path)
    assert "this service has no pyarrow" in reason
    assert "to_csv" in reason
    assert "featherweight[parquet]" in reason


def test_parquet_is_known_by_its_content_and_answered_for_images(tmp_path):
    reason, _ = found(good(), tmp_path, task="image_classification")
    assert reason.startswith(
        "the file is a Parquet table: if it is a table, featherweight datasets"
    )
