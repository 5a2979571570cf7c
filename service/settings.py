"""The environment of the service and of the dashboard's process."""

from __future__ import annotations

import ipaddress
from datetime import timedelta

from pydantic import Field

from store.settings import StoreSettings

_MOST_DAYS = 36_500.0
LOOPBACK_NAMES = frozenset({"localhost"})


class RetentionSettings(StoreSettings):
    """After what time the service removes what is of no more use; 0 means never."""

    keep_stopped_files_days: float = Field(
        default=30.0,
        ge=0,
        le=_MOST_DAYS,
        description="Files of stopped and failed trials, after the end of their job; 0: for ever.",
    )
    keep_uploads_hours: float = Field(
        default=24.0,
        ge=0,
        le=24 * _MOST_DAYS,
        description="Uploads in parts, after their last byte; 0: for ever.",
    )
    keep_events_days: float = Field(
        default=90.0,
        ge=0,
        le=_MOST_DAYS,
        description="Events of jobs but the last, after the end of the job; 0: for ever.",
    )
    keep_workers_days: float = Field(
        default=30.0,
        ge=0,
        le=_MOST_DAYS,
        description="Workers and their failures, after the last sign of them; 0: for ever.",
    )
    keep_audit_days: float = Field(
        default=365.0, ge=0, le=_MOST_DAYS, description="Entries of the audit log; 0: for ever."
    )
    tidy_seconds: float = Field(
        default=600.0,
        ge=0,
        le=86_400,
        description="How often the service removes what may go; 0: only `featherweight doctor "
        "--repair` does.",
    )

    @property
    def keep_stopped_files(self) -> timedelta | None:
        """None: for ever."""
        return _time(timedelta(days=self.keep_stopped_files_days))

    @property
    def keep_uploads(self) -> timedelta | None:
        """None: for ever."""
        return _time(timedelta(hours=self.keep_uploads_hours))

    @property
    def keep_events(self) -> timedelta | None:
        """None: for ever."""
        return _time(timedelta(days=self.keep_events_days))

    @property
    def keep_workers(self) -> timedelta | None:
        """None: for ever."""
        return _time(timedelta(days=self.keep_workers_days))

    @property
    def keep_audit(self) -> timedelta | None:
        """None: for ever."""
        return _time(timedelta(days=self.keep_audit_days))


def _time(kept: timedelta) -> timedelta | None:
    return kept or None


class ServiceSettings(RetentionSettings):
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
    tls_proxy: bool = Field(
        default=False,
        description="A proxy in front speaks TLS, and nobody gets past it: cookies are sent over "
        "TLS only, and who logs in is known by the last address of X-Forwarded-For.",
    )
    session_days: float = Field(
        default=30.0, gt=0, le=3650, description="How long a browser stays logged in."
    )
    logins_per_minute: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="Failed logins of one address within a minute; further ones get 429.",
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
    jobs_per_token: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="Unfinished jobs of all tokens of one name; a further one is refused (403).",
    )
    parallel_trials_per_token: int = Field(
        default=256,
        ge=1,
        le=1_000_000,
        description="Running trials of all jobs of tokens of one name; further ones wait.",
    )
    stored_bytes_per_token: int = Field(
        default=500 * 1024**3,
        ge=1,
        le=2**60,
        description="Bytes of models, datasets, unfinished uploads and files of jobs of tokens of "
        "one name; further uploads are refused (403).",
    )
    stream_stall_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="An event stream whose reader takes nothing for so long is cut.",
    )
    stream_seconds: float = Field(
        default=3600.0,
        gt=0,
        le=86_400,
        description="An event stream ends after so long at the latest; its reader connects again "
        "and goes on after the last event, as browsers and our client do.",
    )
    claim_seconds: float = Field(
        default=60.0,
        ge=0,
        le=60,
        description="A worker that asks for a trial waits for so long at most, whatever it asks.",
    )
    header_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="A connection that has not sent the whole header of a request by then is "
        "closed.",
    )
    body_seconds: float = Field(
        default=20.0,
        gt=0,
        le=3600,
        description="A body that brings nothing for so long is given up (408); so is one that "
        "falls so far behind body_bytes_per_second.",
    )
    body_bytes_per_second: float = Field(
        default=1024.0, gt=0, le=1e9, description="Least speed of a body."
    )
    max_connections: int = Field(
        default=2000,
        ge=8,
        le=1_000_000,
        description="Open connections; beyond it those that wait for no answer are closed first.",
    )
    max_connections_per_address: int = Field(
        default=1000,
        ge=8,
        le=1_000_000,
        description="Open connections of one address; a proxy in front is one.",
    )
    max_uploads: int = Field(
        default=128, ge=1, le=10_000, description="Uploads that are on their way at once."
    )
    max_uploads_per_client: int = Field(
        default=32, ge=1, le=10_000, description="Of one token, and of one address."
    )
    inspections: int = Field(
        default=2, ge=1, le=64, description="Uploaded files that are looked into at once."
    )
    waiting_inspections: int = Field(
        default=32, ge=0, le=10_000, description="Uploaded files that may wait for that."
    )
    inspection_seconds: float = Field(
        default=300.0, gt=0, le=86_400, description="Longest inspection of one file."
    )
    inspection_memory_bytes: int = Field(
        default=4 * 1024**3,
        ge=2**30,
        le=2**53,
        description="Address space of a process that looks into an uploaded file.",
    )
    conversions: int = Field(
        default=1, ge=1, le=64, description="Files that are converted for other targets at once."
    )
    waiting_conversions: int = Field(
        default=8,
        ge=0,
        le=10_000,
        description="Files that may wait for that.",
    )
    conversion_seconds: float = Field(
        default=120.0, gt=0, le=86_400, description="Longest conversion of one file."
    )
    conversion_memory_bytes: int = Field(
        default=4 * 1024**3,
        ge=2**30,
        le=2**53,
        description="Address space of a process that converts a file.",
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
    """Return whether a host name or address can only mean this machine."""
    if host.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
