"""A migrated study storage next to each test's database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from optuna.storages import RDBStorage
from sqlalchemy import make_url

from search.study import migrate
from store.session import Database
from store.settings import StoreSettings

# Machines that run tests are shared: how long one example takes says nothing.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def one_look_at_the_head_of_optuna(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Look for the newest schema once: it is that of the installed Optuna, and loads 20 files."""
    storage = RDBStorage(f"sqlite:///{tmp_path_factory.mktemp('head')}/studies.db")
    head = storage.get_head_version()
    storage.remove_session()
    storage.engine.dispose()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RDBStorage, "get_head_version", lambda _: head)
        yield


@pytest.fixture(scope="session")
def studies_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file of studies that tests copy."""
    path = tmp_path_factory.mktemp("studies") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def study_url(database: Database, studies_template: Path) -> str:
    url = StoreSettings(database_url=database.url, study_url=None).study_storage_url
    path = make_url(url).database
    if make_url(url).get_backend_name() == "sqlite" and path is not None:
        shutil.copy(studies_template, path)
    else:
        migrate(url)
    return url
