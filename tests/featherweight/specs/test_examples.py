"""The examples that make their own files: the script writes what the job file names."""

from __future__ import annotations

import runpy
import shutil

import numpy as np
import pytest

from compress.network.sources import onnx_inspection
from compress.tasks import registry
from compress.tasks.inspection import inspect_dataset
from compress.tasks.names import TASK_METRICS
from featherweight import jobfile
from tests.running import ROOT


@pytest.mark.parametrize("name", ["table"])
def test_a_script_writes_a_network_and_data_that_fit_the_job(name, tmp_path):
    for suffix in ("py", "yaml"):
        shutil.copy(ROOT / "examples" / f"{name}.{suffix}", tmp_path)
    runpy.run_path(str(tmp_path / f"{name}.py"))["main"](tmp_path, epochs=1)
    job = jobfile.read(tmp_path / f"{name}.yaml")
    info = inspect_dataset(tmp_path / job.data.path, task=job.data.task)
    network = onnx_inspection.inspect((tmp_path / job.networks["model"].path).read_bytes()).info
    assert job.spec.task == job.data.task == info.task
    assert (network.input_shape, network.num_classes) == (info.input_shape, info.num_classes)
    data = registry.TASKS[info.task].load(tmp_path / job.data.path)
    assert np.isfinite(data.train.x_NCHW.numpy()).all()
    assert f"examples/{name}.yaml" in (ROOT / "examples" / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", ["regression", "multilabel", "unlabelled"])
def test_a_script_writes_what_the_job_of_a_task_names(name, tmp_path):
    for file in ("tasks.py", f"{name}.yaml"):
        shutil.copy(ROOT / "examples" / file, tmp_path)
    runpy.run_path(str(tmp_path / "tasks.py"))["main"](name, tmp_path, epochs=1)
    job = jobfile.read(tmp_path / f"{name}.yaml")
    info = inspect_dataset(tmp_path / job.data.path, task=name)
    network = onnx_inspection.inspect((tmp_path / job.networks["model"].path).read_bytes()).info
    assert job.spec.task == job.data.task == info.task == name
    assert network.input_shape == info.input_shape
    assert info.num_classes in (0, network.num_classes)
    assert job.spec.objectives[0].metric == TASK_METRICS[name][0]
    assert f"examples/{name}.yaml" in (ROOT / "examples" / f"{name}.yaml").read_text()
