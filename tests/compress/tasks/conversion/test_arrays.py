"""npz files as people have them become datasets as they are kept, or are refused in words."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from compress.tasks import inspection, loading
from compress.tasks.conversion import arrays, convert
from compress.tasks.formats import npz
from compress.tasks.reading import DatasetReading
from compress.values.errors import InvalidData

COUNT = 60
WORDS = np.array(["cat", "dog", "eel"])
TURN = np.arange(COUNT) % 3
PLAIN = DatasetReading()


def images(shape=(8, 6, 3), seed=0, count=COUNT):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


X = images()


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


def header(descr, shape, data):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def archive(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            if isinstance(data, np.ndarray):
                plain = io.BytesIO()
                np.save(plain, data)
                data = plain.getvalue()
            file.writestr(f"{name}.npy", data)
    return buffer.getvalue()


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def labelled(y, **more):
    return {"x_train": X, "y_train": y} | more


SOFT = np.full((COUNT, 3), 1 / 3)
HOSTILE = {
    "objects": (labelled(WORDS[TURN].astype(object)), "pickled and never opened"),
    "records": (labelled(np.zeros(COUNT, [("a", "i4")])), "plain array"),
    "complex": (labelled(np.zeros(COUNT, complex)), "dtype '<c16'"),
    "dates": (labelled(np.zeros(COUNT, "M8[s]")), "plain array"),
    "long double": (labelled(np.zeros(COUNT, np.longdouble)), "dtype '<f16'"),
    "long texts": (labelled(np.full(COUNT, "x" * 500)), "at most 400 characters"),
    "a long name": (labelled(np.full(COUNT, "x" * 101)), "is no name of a class"),
    "an empty text": (labelled(np.where(TURN == 0, "", WORDS[TURN])), "'' is no name"),
    "a control character": (labelled(np.full(COUNT, "a\x1b[2J")), "is no name of a class"),
    "half a surrogate": (labelled(np.full(COUNT, "\ud800")), "is no name of a class"),
    "no UTF-8": (labelled(np.full(COUNT, b"\xff\xfe")), "must be UTF-8"),
    "no code points": (
        archive(x_train=X, y_train=header("<U1", (COUNT,), b"\xff\xff\xff\x7f" * COUNT)),
        "must be UTF-8 or Unicode",
    ),
    "texts of no length": (
        archive(x_train=X, y_train=header("<U0", (COUNT,), b"")),
        "dtype '<U0'",
    ),
    "rows of texts": (labelled(np.full((COUNT, 2), "a")), "one text per image"),
    "fractions": (labelled(TURN + 0.5), "no whole number"),
    "NaN": (labelled(np.where(TURN == 0, np.nan, TURN)), "nan, which is no whole number"),
    "infinity": (labelled(np.where(TURN == 0, np.inf, TURN)), "inf, which is no whole number"),
    "huge floats": (labelled(TURN * 1e300), "must hold classes"),
    "huge numbers": (labelled(np.full(COUNT, 2**64 - 1, np.uint64)), "must hold classes"),
    "probabilities": (labelled(SOFT), "not one-hot.*argmax"),
    "two ones": (labelled(np.ones((COUNT, 3), int)), "not one-hot"),
    "no one": (labelled(np.zeros((COUNT, 3), int)), "not one-hot"),
    "a NaN beside a one": (labelled(np.eye(3)[TURN] * [1, 1, np.nan]), "not one-hot"),
    "masks": (labelled(np.zeros((COUNT, 8, 6), int)), r"\(N, K\) of one-hot rows"),
    "no labels": (labelled(np.zeros((COUNT, 0))), "one-hot rows"),
    "very wide rows": (labelled(np.zeros((COUNT, 10_001), bool)), "one-hot rows"),
    "fewer labels": (labelled(TURN[1:].astype(float)), r"shape \(60,\), got \(59,\)"),
    "one class": (labelled(np.full(COUNT, "cat")), "at least 2"),
    "a class that train has not": (
        labelled(WORDS[TURN % 2], x_val=X, y_val=WORDS[TURN]),
        "holds the classes eel, which train has not",
    ),
    "a number that train has not": (
        labelled(TURN * 10, x_val=X, y_val=TURN * 10 + 5),
        "classes 5, 15, 25, which train has not",
    ),
    "kinds that differ": (labelled(WORDS[TURN], x_val=X, y_val=TURN), "different kinds"),
    "rows that differ": (
        labelled(np.eye(3)[TURN], x_val=X, y_val=np.eye(4)[TURN]),
        r"differ in length: \[3, 4\]",
    ),
    "names twice": (labelled(TURN, class_names=np.array(["a", "b", "a"])), "'a' twice"),
    "too few names": (labelled(TURN, class_names=np.array(["a", "b"])), "0 to 1"),
    "names of numbers": (labelled(TURN, class_names=TURN), "must be at most 10000 texts"),
    "unknown names": (
        labelled(WORDS[TURN], class_names=np.array(["cat", "dog"])),
        "eel, which class_names has not",
    ),
    "the same array twice": (labelled(TURN, X_train=X), "mean the same"),
    "half a split": (labelled(TURN, x_val=X), "'y_validation' is missing"),
    "no train": ({"x_val": X, "y_val": TURN}, "'x_train' is missing"),
    "an unknown array": (labelled(TURN, weights=TURN), "unknown array 'weights.npy'"),
    "flat rows": (labelled(TURN) | {"x_train": X.reshape(COUNT, -1)}, r"reshape\(-1, 28, 28\)"),
    "texts as images": (labelled(TURN) | {"x_train": np.full((COUNT, 8, 8), "a")}, "be numbers"),
    "huge pixels": (labelled(TURN) | {"x_train": X.astype(int) * 2**20}, "cannot tell apart"),
    "infinite pixels": (labelled(TURN) | {"x_train": X * 1e300}, "infinity"),
    "no images": ({"x_train": X[:0].astype(int), "y_train": TURN[:0]}, "no images|one-hot rows"),
    "shapes that differ": (labelled(TURN, x_val=X[:, :5], y_val=TURN), "share one image shape"),
    "an astronomic shape": (
        archive(x_train=header("|u1", (10**17,) * 4, b""), y_train=WORDS[TURN]),
        "the archive holds 0",
    ),
    "a pickle as member": (
        archive(x_train=X, y_train=pickle.dumps(["a"] * 99)),
        "must be an npy file of version 1.0",
    ),
}


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
