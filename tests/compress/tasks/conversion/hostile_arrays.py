"""npz files that are refused, each with words that its message must hold. Made by code."""

import io
import pickle
import struct
import zipfile

import numpy as np

COUNT = 60
WORDS = np.array(["cat", "dog", "eel"])
TURN = np.arange(COUNT) % 3


def images(shape=(8, 6, 3), seed=0, count=COUNT):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


X = images()


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
    "images along the last axis": (
        labelled(TURN) | {"x_train": np.zeros((8, 6, 3, COUNT), np.uint8)},
        r"numpy.moveaxis\(x_train, -1, 0\)",
    ),
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
