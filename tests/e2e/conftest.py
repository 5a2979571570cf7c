"""The whole house as real processes, and a job that is small but real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from featherweight import samples
from featherweight.client.client import Client
from featherweight.specs.job import JobSpec
from tests.running import PATIENT, Running, running

TINY: dict[str, Any] = {
    "name": "tiny",
    "model": {"architecture": {"widths": [4, 8], "depths": [1, 1]}, "epochs": 6},
    "data": {"sample": "digits"},
    "techniques": {"filter_pruning": {}, "distillation": {}, "quantization": {}},
    "objectives": ["maximise accuracy", "minimise size_bytes"],
    "budget": {"trials": 4, "parallel_trials": 2},
    "early_stopping": {"rungs": [0, 1], "eta": 2},
    "recovery": {"learning_rate": 0.03},
    "finish": {"trials": 1, "finalists": 1, "epochs": 1},
    "sampler": "random",
    "controls": False,
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("house")) as found:
        found.migrate()
        found.start("search")
        found.serve()
        yield found


@pytest.fixture(scope="module")
def client(house: Running) -> Iterator[Client]:
    with Client(house.url, retry=PATIENT) as found:
        yield found


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "digits.npz"
    samples.write("digits", path)
    return path


@pytest.fixture
def spec(client: Client, digits: Path) -> JobSpec:
    data = client.upload_dataset(digits, name="digits").name
    return JobSpec.model_validate(TINY | {"data": data})


@pytest.fixture
def endless(spec: JobSpec) -> JobSpec:
    """A job whose baseline trains until somebody stops it."""
    assert not isinstance(spec.model, str)
    return spec.model_copy(update={"model": spec.model.model_copy(update={"epochs": 1000})})
