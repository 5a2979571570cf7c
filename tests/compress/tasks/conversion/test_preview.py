"""A sheet of images, a row for each class."""

import io

import numpy as np
import pytest
from PIL import Image

from compress.tasks.conversion import preview
from compress.tasks.formats import npz
from compress.values.errors import InvalidData


def sheet(tmp_path, **contents):
    path = tmp_path / "data.npz"
    np.savez(path, **contents)
    return np.asarray(Image.open(io.BytesIO(preview.sheet(path))))


def test_every_class_has_a_row_of_its_first_images(tmp_path):
    labels = np.repeat([0, 1, 2], [20, 3, 9])
    images = np.zeros((32, 32, 40, 3), np.uint8)
    images[:] = (labels * 100)[:, None, None, None] + np.arange(32)[:, None, None, None]
    found = sheet(tmp_path, x_train=images, y_train=labels)
    assert found.shape == (3 * 34, 8 * 42, 3)
    cells = found[::34, ::42, 0]
    assert cells.tolist() == [
        list(range(8)),
        [120, 121, 122, 0, 0, 0, 0, 0],
        list(range(223, 231)),
    ]


def test_small_images_are_enlarged_and_large_ones_reduced(tmp_path):
    labels = np.arange(24) % 12
    small = sheet(tmp_path, x_train=np.zeros((24, 8, 8), np.uint8), y_train=labels)
    assert small.shape == (12 * 34, 8 * 34, 3)
    large = sheet(tmp_path, x_train=np.zeros((24, 192, 96, 3), np.uint8), y_train=labels)
    assert large.shape == (12 * 98, 8 * 50, 3)


def test_floats_are_shown_from_least_to_largest_and_one_channel_of_many(tmp_path):
    images = np.zeros((24, 32, 32, 5), np.float32)
    images[..., 0] = np.linspace(-3, 5, 24)[:, None, None]
    images[..., 1:] = -3
    found = sheet(tmp_path, x_train=images, y_train=np.arange(24) % 2)
    assert (found[0, 0] == 0).all()
    assert found[34, 7 * 34, 0] == 255
    assert found[0, 4 * 34, 0] == int(255 * 8 / 15)


def test_only_a_few_classes_of_many_are_drawn(tmp_path):
    found = sheet(tmp_path, x_train=np.zeros((200, 32, 32), np.uint8), y_train=np.arange(200) % 100)
    assert found.shape[0] == preview.ROWS * 34


def test_what_is_no_dataset_has_no_sheet(tmp_path):
    path = tmp_path / "data.npz"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(InvalidData):
        preview.sheet(path, caution=npz.Caution(most_ratio=200, seconds=1))
