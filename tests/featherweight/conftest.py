"""A real service in a process of its own, shared by the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from featherweight.client.client import Client
from tests.running import PATIENT, Running


@pytest.fixture
def client(house: Running) -> Iterator[Client]:
    with Client(house.url, retry=PATIENT) as found:
        yield found
