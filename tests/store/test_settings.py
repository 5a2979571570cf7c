"""Settings: where the store is, and where Optuna's storage lies beside it."""

from pathlib import Path

import pytest

from store.settings import StoreSettings


@pytest.mark.parametrize(
    ("database", "study"),
    [
        ("sqlite:///var/featherweight.db", "sqlite:///var/studies.db"),
        ("sqlite:////srv/data/fw.db", "sqlite:////srv/data/studies.db"),
        (
            "postgresql://user:secret@host/name",
            "postgresql://user:secret@host/name?options=-csearch_path%3Doptuna",
        ),
    ],
)
def test_the_study_storage_lies_beside_the_database(database, study):
    assert StoreSettings(database_url=database).study_storage_url == study


def test_a_study_storage_can_be_given():
    assert StoreSettings(study_url="sqlite:///other.db").study_storage_url == "sqlite:///other.db"


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("FEATHERWEIGHT_DATABASE_URL", "sqlite:///here.db")
    monkeypatch.setenv("FEATHERWEIGHT_FILES", "/srv/files")
    settings = StoreSettings()
    assert (settings.database_url, settings.files) == ("sqlite:///here.db", Path("/srv/files"))
