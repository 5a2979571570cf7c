"""npz files as people have them become datasets as they are kept, or are refused in words."""

import io

import numpy as np
import pytest

from compress.tasks import inspection, loading
from compress.tasks.conversion import arrays, convert
from compress.tasks.formats import npz
from compress.tasks.reading import DatasetReading
from compress.values.errors import InvalidData
from tests.compress.tasks.conversion.hostile_arrays import (
    COUNT,
    HOSTILE,
    TURN,
    WORDS,
    X,
    images,
    labelled,
)

PLAIN = DatasetReading()


@pytest.fixture
def saved(tmp_path):
    def save(contents):
        path = tmp_path / "given.npz"
        if isinstance(contents, bytes):
            path.write_bytes(contents)
        else:
            np.savez(path, **contents)
        return path

    return save


@pytest.fixture
def made(saved, tmp_path):
    """Convert arrays; return what was said, and the path of the dataset."""

    def make(reading=PLAIN, **contents):
        path = saved(contents)
        target = tmp_path / "made.npz"
        with target.open("wb") as file:
            said = convert.convert(path, file, reading)
        assert arrays.is_plain(target, PLAIN)
        return said, target

    return make


def loaded(path):
    data = loading.load(path)
    return data.train.x_NCHW.numpy(), data.train.y_N.numpy()


def test_a_dataset_as_it_is_kept_needs_no_conversion_and_would_be_the_same(saved, made):
    given = {"x_train": X, "y_train": TURN, "x_validation": X, "y_validation": TURN}
    path = saved(given)
    assert arrays.is_plain(path, PLAIN)
    before = loading.load(path)
    said, target = made(**given)
    assert (said.notes, said.warnings) == ((), ())
    after = loading.load(target)
    assert (before.train.x_NCHW == after.train.x_NCHW).all()
    assert (before.validation.y_N == after.validation.y_N).all()
    assert inspection.inspect_dataset(target) == inspection.inspect_dataset(path)


LABELS = {
    "texts": (WORDS[TURN], TURN, ("cat", "dog", "eel")),
    "bytes": (WORDS[TURN].astype("S"), TURN, ("cat", "dog", "eel")),
    "big-endian texts": (WORDS[TURN].astype(">U5"), TURN, ("cat", "dog", "eel")),
    "a column of texts": (WORDS[TURN][:, None], TURN, ("cat", "dog", "eel")),
    "texts of numbers": (np.array(["2", "10", "30"])[TURN], TURN, ("2", "10", "30")),
    "one-hot": (np.eye(3)[TURN], TURN, ("0", "1", "2")),
    "one-hot truth": (np.eye(3, dtype=bool)[TURN], TURN, ("0", "1", "2")),
    "one-hot, a class without images": (np.eye(4)[TURN], TURN, ("0", "1", "2", "3")),
    "whole floats": (TURN.astype(np.float64), TURN, ()),
    "half floats": (TURN.astype(np.float16), TURN, ()),
    "a column": (TURN[:, None], TURN, ()),
    "from 1": (TURN + 1, TURN, ("1", "2", "3")),
    "gaps": (TURN * 10, TURN, ("0", "10", "20")),
    "below 0": (TURN - 1, TURN, ("-1", "0", "1")),
    "truth": (TURN == 1, (TURN == 1).astype(int), ()),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_become_classes_from_0_and_keep_their_names(made, saved, case):
    given, expected, names = LABELS[case]
    assert not arrays.is_plain(saved({"x_train": X, "y_train": given}), PLAIN)
    same = {"x_validation": X, "y_validation": given, "x_train": X, "y_train": given}
    said, target = made(**same)
    assert loaded(target)[1].tolist() == expected.tolist()
    info = inspection.inspect_dataset(target)
    assert info.class_names == names
    assert info.num_classes == (len(names) or len(set(expected.tolist())))
    assert bool(said.warnings) == (case in ("from 1", "gaps", "below 0", "texts of numbers"))


def test_numbers_that_leave_classes_out_are_counted_anew_unless_the_classes_are_said(made):
    given = {"x_train": X, "y_train": np.arange(COUNT) % 20 + 1}
    said, target = made(**given)
    assert inspection.inspect_dataset(target).num_classes == 20
    [warning] = said.warnings
    assert "20 numbers from 1 to 20" in warning
    assert "0 is '1'" in warning
    assert "say classes: 21" in warning
    said, target = made(DatasetReading(classes=21), **given)
    assert (inspection.inspect_dataset(target).num_classes, said.warnings) == (21, ())
    assert loaded(target)[1].max() == 20


def test_a_class_that_only_validation_has_is_no_gap(saved):
    given = {"x_train": X, "y_train": np.where(TURN == 1, 0, TURN)}
    assert arrays.is_plain(saved(given | {"x_test": X, "y_test": TURN}), PLAIN)


def test_names_of_classes_are_kept_and_order_the_texts(made):
    names = np.array(["eel", "dog", "cat", "owl"])
    _, target = made(x_train=X, y_train=WORDS[TURN], x_val=X, y_val=WORDS[TURN], classes=names)
    assert loaded(target)[1].tolist() == (2 - TURN).tolist()
    info = inspection.inspect_dataset(target)
    assert info.class_names == ("eel", "dog", "cat", "owl")
    assert "train has no image of class 3 (owl)" in info.warnings
    _, target = made(x_train=X, y_train=TURN, class_names=names)
    assert inspection.inspect_dataset(target).class_names == ("eel", "dog", "cat", "owl")


CALLED = [
    ("images", "labels", "x_val", "y_val"),
    ("X_train", "Y_train", "X_valid", "Y_valid"),
    ("train_images", "train_labels", "val_images", "val_labels"),
    ("x", "y", "dev_x", "dev_y"),
    ("data", "target", "validation.images", "validation.labels"),
]


@pytest.mark.parametrize("names", CALLED, ids=lambda names: names[0])
def test_arrays_are_known_by_the_names_that_people_give_them(made, names):
    other = images(seed=1)
    said, target = made(**dict(zip(names, (X, TURN, other, TURN), strict=True)))
    data = loading.load(target)
    assert (data.train.x_NCHW.numpy() == X.transpose(0, 3, 1, 2)).all()
    assert (data.validation.x_NCHW.numpy() == other.transpose(0, 3, 1, 2)).all()
    assert any("are called" in note for note in said.notes)


PIXELS = {
    "float64": (X / 255, "float32", X / 255),
    "half": (X.astype(np.float16), "float32", X),
    "uint16": (X.astype(np.uint16) * 200, "float32", X * 200.0),
    "uint16 of bytes": (X.astype(np.uint16), "uint8", X),
    "int64": (X.astype(np.int64), "uint8", X),
    "int16 below 0": (X.astype(np.int16) - 5, "float32", X - 5.0),
    "big-endian": (X.astype(">f4"), "float32", X),
    "truth": (X > 99, "uint8", X > 99),
}


@pytest.mark.parametrize("case", PIXELS)
def test_numbers_of_any_type_become_uint8_or_float32_and_that_is_said(made, case):
    given, dtype, expected = PIXELS[case]
    said, target = made(x_train=given, y_train=TURN, x_val=given, y_val=TURN)
    found, _ = loaded(target)
    assert found.dtype == dtype
    assert (found == np.moveaxis(np.asarray(expected, dtype), 3, 1)).all()
    assert [note.startswith("images are") for note in said.notes if "called" not in note] == (
        [] if case == "big-endian" else [True]
    )


LAYOUTS = [
    ((3, 8, 6), (3, 8, 6)),
    ((1, 8, 8), (1, 8, 8)),
    ((8, 8, 1), (1, 8, 8)),
    ((8, 8), (1, 8, 8)),
]


@pytest.mark.parametrize(("given", "expected"), LAYOUTS)
def test_the_only_possible_order_of_axes_is_found(made, given, expected):
    x = images(given)
    said, target = made(x_train=x, y_train=TURN, x_val=x, y_val=TURN)
    found, _ = loaded(target)
    assert found.shape[1:] == expected
    assert said.warnings == ()
    last = x[..., None] if len(given) == 2 else x
    assert (found == (last if given[0] < 4 else np.moveaxis(last, 3, 1))).all()


def test_of_two_possible_orders_one_is_taken_and_the_other_one_can_be_asked_for(made, saved):
    x = images((8, 6, 5))
    given = {"x_train": x, "y_train": TURN, "x_val": x, "y_val": TURN}
    said, target = made(**given)
    assert "read as NHWC" in said.warnings[0]
    assert loaded(target)[0].shape == (COUNT, 5, 8, 6)
    said, target = made(DatasetReading(layout="NCHW"), **given)
    assert said.warnings == ()
    assert (loaded(target)[0] == x).all()
    path = saved({"x_train": x, "y_train": TURN})
    assert arrays.is_plain(path, PLAIN)
    assert not arrays.is_plain(path, DatasetReading(layout="NCHW"))
    assert "send it again with layout: NCHW" in arrays.ambiguous(path)[0]


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def taken_in(path, target):
    """Do with a file what a service does."""
    arrays.is_plain(path, PLAIN)
    with target.open("wb") as file:
        convert.convert(path, file, PLAIN, caution=npz.Caution(most_ratio=200, seconds=60))
    inspection.inspect_dataset(target)


@pytest.mark.parametrize("case", HOSTILE)
def test_what_cannot_be_labels_or_images_is_refused_with_the_reason(saved, tmp_path, case):
    contents, reason = HOSTILE[case]
    with pytest.raises(InvalidData, match=reason):
        taken_in(saved(contents), tmp_path / "made.npz")


def test_a_pickled_label_is_never_loaded(saved, tmp_path):
    trace = tmp_path / "executed"
    traps = np.array([Trap(str(trace))] * COUNT, dtype=object)
    with pytest.raises(InvalidData, match="never opened"), io.BytesIO() as file:
        convert.convert(saved(labelled(traps)), file, PLAIN)
    assert not trace.exists()


def test_long_arrays_are_read_in_pieces_that_no_row_ends_with(made):
    """More than one piece of images, of one-hot rows and of texts, whose lengths do not fit."""
    count = 3000
    turn = np.arange(count) % 119
    x = images((31, 31), count=count)
    for y in (np.eye(119)[turn], np.array([f"class {label:090}" for label in range(119)])[turn]):
        assert y.nbytes > npz.CHUNK_BYTES
        _, target = made(x_train=x, y_train=y, x_val=x, y_val=y)
        found_x, found_y = loaded(target)
        assert (found_x[:, 0] == x).all()
        assert (found_y == turn).all()
