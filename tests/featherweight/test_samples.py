"""The digits are always the same file, and the examples are jobs on them."""

import subprocess
import sys

import numpy as np
import pytest

from compress.tasks.inspection import inspect_dataset
from featherweight import jobfile, samples
from featherweight.client.transport import file_digest
from tests.running import ROOT, environment

DIGEST = "712f8dd56c528ae75493c24a1dc4f5f30fe99f1dcbb16cbf3923fe95b3c027e1"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "digits.npz"
    samples.write("digits", path)
    return path


def test_the_digits_have_the_same_digest_on_every_machine(digits):
    assert file_digest(digits) == DIGEST


def test_another_process_writes_the_same_bytes(digits, tmp_path):
    path = tmp_path / "again.npz"
    code = (
        "import sys; from pathlib import Path; from featherweight import samples; "
        "samples.write('digits', Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(path)]
    subprocess.run(command, env=environment(), check=True, timeout=60)
    assert path.read_bytes() == digits.read_bytes()


def test_the_digits_are_a_dataset_as_the_service_wants_it(digits):
    info = inspect_dataset(digits)
    assert info.input_shape == (1, 8, 8)
    assert info.value_range == (0, 16)
    assert (info.num_classes, info.dtype, info.held_out) == (10, "uint8", False)


def test_the_scans_are_those_that_scikit_learn_ships():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images, classes = samples.scanned_digits()
    assert (images.shape, images.dtype, classes.dtype) == ((1797, 8, 8), np.uint8, np.int64)
    assert (images.reshape(-1, 64) == pixels).all()
    assert (classes == labels).all()


def test_every_image_is_in_one_split_and_every_class_in_all(digits):
    images, _ = samples.scanned_digits()
    with np.load(digits) as arrays:
        parts = {split: arrays[f"x_{split}"] for split in ("train", "validation", "test")}
        labels = {split: arrays[f"y_{split}"] for split in parts}
    together = np.concatenate(list(parts.values())).reshape(-1, 64)
    assert sorted(map(tuple, together)) == sorted(map(tuple, images.reshape(-1, 64)))
    shares = {split: len(x) / 1797 for split, x in parts.items()}
    assert shares == pytest.approx({"train": 0.6, "validation": 0.2, "test": 0.2}, abs=0.005)
    for split in parts:
        counts = np.bincount(labels[split])
        assert counts.min() > 0.9 * counts.max()


def test_an_unknown_sample_is_an_error(tmp_path):
    with pytest.raises(KeyError):
        samples.write("cats", tmp_path / "cats.npz")
    assert list(tmp_path.iterdir()) == []


OF_ARRAYS = ("table", "regression", "multilabel", "unlabelled")
OF_TEXTS = ("text_classification", "text_matching", "sequence_labelling")
WITH_FILES = frozenset((*OF_ARRAYS, *OF_TEXTS))
"""Examples whose files a script next to them makes: ``specs/test_examples.py``."""
JOBS = sorted(path for path in (ROOT / "examples").glob("*.yaml") if path.stem not in WITH_FILES)


@pytest.mark.parametrize("path", JOBS, ids=lambda p: p.stem)
def test_every_example_is_a_job_that_the_service_would_take(client, path):
    spec = jobfile.read(path).resolve(client)
    found = client.dry_run(spec)
    assert sum(found.trials.values()) == spec.budget.trials
    assert f"examples/{path.name}" in path.read_text()
    assert ("supernet" in found.trials) == (path.stem in ("supernet", "cells"))
