"""Data in a file that processes map is the data that was decoded, to the stride."""

from pathlib import Path

import numpy as np
import pytest
import torch

from compress.tasks import loading, mapped

NAMES = ("ant", "bee", "crow é")


def saved(tmp_path, shape, dtype, *, has_all_splits):
    random = np.random.default_rng(0)
    arrays = {"class_names": np.array(NAMES)} if has_all_splits else {}
    for split in ("train", "validation", "test") if has_all_splits else ("train",):
        arrays[f"x_{split}"] = random.integers(0, 200, (30, *shape)).astype(dtype)
        arrays[f"y_{split}"] = np.arange(30) % 3
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return loading.load(path)


@pytest.mark.parametrize("has_all_splits", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
def test_what_is_mapped_equals_what_was_decoded(tmp_path, shape, dtype, has_all_splits):
    data = saved(tmp_path, shape, dtype, has_all_splits=has_all_splits)
    mapped.write(data, tmp_path / "file")
    found = mapped.read(tmp_path / "file")
    assert (found.num_classes, found.input_shape) == (3, data.input_shape)
    assert found.class_names == (NAMES if has_all_splits else ())
    assert (found.test is None) == (data.test is None)
    for split in ("train", "validation", "test") if has_all_splits else ("train", "validation"):
        one, other = getattr(data, split), getattr(found, split)
        assert torch.equal(one.x_NCHW, other.x_NCHW)
        assert torch.equal(one.y_N, other.y_N)
        assert (one.x_NCHW.dtype, one.y_N.dtype) == (other.x_NCHW.dtype, other.y_N.dtype)
        assert one.x_NCHW.stride() == other.x_NCHW.stride()


def test_what_one_process_writes_into_a_tensor_stays_with_it(tmp_path):
    mapped.write(saved(tmp_path, (6, 5), np.uint8, has_all_splits=False), tmp_path / "file")
    before = (tmp_path / "file").read_bytes()
    mapped.read(tmp_path / "file").train.x_NCHW.zero_()
    assert (tmp_path / "file").read_bytes() == before
    assert int(mapped.read(tmp_path / "file").train.x_NCHW.max()) > 0


def test_images_take_no_memory_of_the_process(tmp_path):
    mapped.write(saved(tmp_path, (512, 512), np.uint8, has_all_splits=True), tmp_path / "file")
    before = anonymous_bytes()
    data = mapped.read(tmp_path / "file")
    assert int(data.train.x_NCHW.sum()) > 0
    assert anonymous_bytes() - before < data.train.x_NCHW.numel() / 2
    assert data.train.x_NCHW.numel() == 30 * 512 * 512


def anonymous_bytes():
    """Memory of this process that no file backs (proc_pid_status(5))."""
    with Path("/proc/self/status").open() as file:
        [line] = [line for line in file if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024
