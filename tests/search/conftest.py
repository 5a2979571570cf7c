"""A migrated study storage beside each test's database."""

from __future__ import annotations

import hypothesis
import pytest

from search.study import migrate
from store.session import Database
from store.settings import StoreSettings

# Machines that run tests are shared: how long one example takes says nothing.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture
def study_url(database: Database) -> str:
    url = StoreSettings(database_url=database.url, study_url=None).study_storage_url
    migrate(url)
    return url
