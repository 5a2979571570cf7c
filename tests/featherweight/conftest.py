"""A real service in a process of its own, shared by the tests of a file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from featherweight.client.client import Client
from tests.running import PATIENT, Running, running


@pytest.fixture(scope="module")
def house(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("house")
    shutil.copy(sqlite_template, folder / "featherweight.db")
    with running(folder) as found:
        found.serve()
        yield found


@pytest.fixture
def client(house: Running) -> Iterator[Client]:
    with Client(house.url, retry=PATIENT) as found:
        yield found
