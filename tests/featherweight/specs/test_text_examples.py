"""The examples of texts: the script writes what the job files name, and networks fit it."""

from __future__ import annotations

import runpy
import shutil

import pytest

from compress.tasks.conversion.convert import convert
from compress.tasks.inspection import inspect_dataset
from featherweight import jobfile
from tests.running import ROOT

TASKS = ("text_classification", "text_matching", "sequence_labelling")


@pytest.mark.parametrize("task", TASKS)
def test_a_script_writes_texts_that_fit_the_job_and_its_network(task, tmp_path):
    shutil.copy(ROOT / "examples" / f"{task}.yaml", tmp_path)
    shutil.copy(ROOT / "examples" / "texts.py", tmp_path)
    runpy.run_path(str(tmp_path / "texts.py"))["main"](tmp_path, task, share=0.05)
    job = jobfile.read(tmp_path / f"{task}.yaml")
    with (tmp_path / "made.npz").open("w+b") as target:
        convert(tmp_path / job.data.path, target, job.data.reading)
    info = inspect_dataset(tmp_path / "made.npz", task=task)
    assert job.spec.task == info.task == task
    assert info.splits == {"train": 100, "validation": 25, "test": 25}
    architecture = job.spec.model.architecture.fitted(info.examples).config
    assert architecture.words in (max(info.vocabulary), info.vocabulary)
    assert f"examples/{task}.yaml" in (ROOT / "examples" / f"{task}.yaml").read_text()
