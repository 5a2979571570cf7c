"""Spaces, forecasts and seeded searches are what they were when they were recorded.

``tests/golden/search-v1.json`` holds the names, grids and distributions of knobs, digests of
candidates, counts, bounds, forecasts, and the trials of three seeded searches. Studies and stored
candidates rest on them: a change here is a change of what an existing job would do next.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from store.session import Database
from tests.search.study import recorded

GOLDEN: dict[str, Any] = json.loads(Path("tests/golden/search-v1.json").read_text())


@pytest.fixture(scope="module")
def spaces() -> dict[str, Any]:
    return recorded.spaces()


@pytest.mark.parametrize("name", recorded.SPACES)
def test_a_space_is_as_it_was_recorded(spaces: dict[str, Any], name: str) -> None:
    assert spaces[name] == GOLDEN["spaces"][name]


@pytest.mark.parametrize("name", recorded.SEARCHES)
def test_a_seeded_search_tries_what_it_tried_when_it_was_recorded(
    database: Database, study_url: str, name: str
) -> None:
    found = recorded.proposals(database, study_url, recorded.SEARCHES[name])
    assert found == GOLDEN["searches"][name]
