"""The environment of the service and of the dashboard's process."""

from __future__ import annotations

import ipaddress

from pydantic import Field

from store.settings import StoreSettings

LOOPBACK_NAMES = frozenset({"localhost"})


class ServiceSettings(StoreSettings):
    """Where the service listens, what it accepts, and where the dashboard's process is."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    dashboard_host: str = "127.0.0.1"
    dashboard_port: int | None = Field(
        default=None, ge=1, le=65535, description="Left out: the service's port plus one."
    )
    dashboard_url: str | None = Field(
        default=None, description="Where the service finds the dashboard; left out: on loopback."
    )
    lease_seconds: float = Field(default=15.0, gt=0, le=3600)
    max_upload_bytes: int = Field(default=4 * 1024**3, gt=0, le=2**53)
    min_free_bytes: int = Field(
        default=64 * 1024**2,
        ge=0,
        le=2**53,
        description="With less free space where files and database are, the service is not ready.",
    )
    streams_per_token: int = Field(
        default=32,
        ge=1,
        le=10_000,
        description="Event streams open at once, of one token, or one address where there are no "
        "tokens; further ones get 429.",
    )
    stream_stall_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="An event stream whose reader takes nothing for so long is cut.",
    )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return is_loopback(self.host)

    @property
    def dashboard_listen_port(self) -> int:
        """Port of the dashboard's process."""
        return self.dashboard_port or self.port + 1

    @property
    def dashboard_address(self) -> str:
        """Base address of the dashboard's process, without a slash at the end."""
        return (self.dashboard_url or f"http://127.0.0.1:{self.dashboard_listen_port}").rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
