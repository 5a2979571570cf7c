"""Classification of arrays: data of any axes in, and nothing is varied."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compress.tasks import registry
from compress.tasks.inspection import inspect_dataset
from compress.tasks.task import Batch
from compress.values.errors import InvalidData

TASK = registry.TASKS["classification"]
LABELS = np.arange(20) % 3


def rows(*shape, dtype="f4"):
    return np.random.default_rng(0).normal(size=(20, *shape), scale=20).astype(dtype)


def saved(folder, x=None, y=LABELS, **more):
    path = folder / "data.npz"
    np.savez(path, x_train=rows(5) if x is None else x, y_train=y, **more)
    return path


@pytest.mark.parametrize("shape", [(5,), (2, 7), (7, 2, 3), (1, 2, 3, 4)])
def test_examples_keep_their_axes(shape, tmp_path):
    path = saved(tmp_path, x := rows(*shape))
    info, data = inspect_dataset(path, task="classification"), TASK.load(path)
    assert (info.task, info.input_shape, data.input_shape) == ("classification", shape, shape)
    assert info.held_out
    assert info.splits == {"train": 16, "validation": 4}
    found = torch.cat([data.train.x_NCHW, data.validation.x_NCHW])
    assert found.shape == x.shape
    assert sorted(found.flatten().tolist()) == sorted(x.flatten().tolist())


def test_a_table_says_which_columns_are_constant(tmp_path):
    x = rows(6)
    x[:, [1, 4]] = 2
    info = inspect_dataset(saved(tmp_path, x), task="classification")
    assert "columns 1, 4 are constant in x_train: nothing can be learned from that" in info.warnings
    assert any("validation has 4 examples" in warning for warning in info.warnings)


@pytest.mark.parametrize(
    ("place", "shape", "words"),
    [((3, 2), (5,), "in row 3, column 2"), ((7, 1, 4), (2, 5), r"in row 7 at \(1, 4\)")],
)
def test_a_nan_is_refused_with_its_place(place, shape, words, tmp_path):
    x = rows(*shape)
    x[place] = np.nan
    with pytest.raises(InvalidData, match=f"x_train holds a NaN or an infinity {words}"):
        inspect_dataset(saved(tmp_path, x), task="classification")


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (rows(), r"shape \(N, \.\.\.\) with 1 to 6 axes"),
        (rows(*(1,) * 7), r"shape \(N, \.\.\.\) with 1 to 6 axes"),
        (rows(0), "1 to 16777216 values"),
        (np.ones((20, 4), "f4"), "all examples of x_train are the same"),
        (rows(4) * np.float32(1e34), "column 0 of x_train holds values up to"),
    ],
)
def test_arrays_that_nothing_can_be_learned_from_are_refused(x, words, tmp_path):
    with pytest.raises(InvalidData, match=words):
        inspect_dataset(saved(tmp_path, x), task="classification")


def test_splits_of_two_shapes_are_refused(tmp_path):
    path = saved(tmp_path, x_test=rows(4), y_test=LABELS)
    with pytest.raises(InvalidData, match="one example shape"):
        inspect_dataset(path, task="classification")


def test_whole_numbers_are_known_as_such(tmp_path):
    counted = np.rint(rows(5))
    assert inspect_dataset(saved(tmp_path, counted), task="classification").is_whole
    assert inspect_dataset(saved(tmp_path, counted.astype("u1")), task="classification").is_whole
    counted[3, 1] += 0.5
    assert not inspect_dataset(saved(tmp_path, counted), task="classification").is_whole


def test_nothing_is_varied_and_labels_teach():
    images = torch.zeros(4, 6)
    assert TASK.augment(images, torch.Generator(), augmented="shift_flip") is None
    assert "only images are varied" in TASK.explained("auto", None)
    batch = Batch(rows_B=torch.arange(2), x_BCHW=images[:2], labels_B=torch.tensor([0, 1]))
    assert TASK.loss(torch.zeros(2, 2), batch).item() == pytest.approx(np.log(2))
