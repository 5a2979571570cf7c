"""How long things stay that nobody needs for ever: environment ``FEATHERWEIGHT_*``."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from store.settings import StoreSettings

_MOST_DAYS = 36_500.0


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
