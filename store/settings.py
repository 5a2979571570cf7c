"""Settings of the store, read from the environment with the prefix ``FEATHERWEIGHT_``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url


class StoreSettings(BaseSettings):
    """Addresses of the database, of the samplers' study storage, and of the files."""

    model_config = SettingsConfigDict(env_prefix="FEATHERWEIGHT_", extra="ignore")

    database_url: str = Field(
        default="sqlite:///var/featherweight.db", description="SQLite or PostgreSQL, our tables."
    )
    study_url: str | None = Field(
        default=None, description="Optuna's storage; None: beside the database."
    )
    files: Path = Field(default=Path("var/files"), description="Folder of all stored files.")

    @property
    def study_storage_url(self) -> str:
        """Optuna's storage: a file next to that of SQLite, or its own schema on PostgreSQL."""
        if self.study_url is not None:
            return self.study_url
        url = make_url(self.database_url)
        if url.get_backend_name() == "sqlite":
            sibling = Path(url.database or "featherweight.db").with_name("studies.db")
            return f"sqlite:///{sibling}"
        own_schema = url.update_query_dict({"options": "-csearch_path=optuna"})
        return own_schema.render_as_string(hide_password=False)
