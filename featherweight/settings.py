"""Address and token of the service, from the environment ``FEATHERWEIGHT_*``."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_URL = "http://127.0.0.1:8000"


class ClientSettings(BaseSettings):
    """Address and token, for the command line and for workers."""

    model_config = SettingsConfigDict(env_prefix="FEATHERWEIGHT_", extra="ignore", frozen=True)

    url: str = Field(default=DEFAULT_URL, description="Address of the service.")
    token: SecretStr | None = Field(default=None, description="Bearer token.")

    @property
    def secret(self) -> str | None:
        """The token's secret."""
        return self.token.get_secret_value() if self.token else None
