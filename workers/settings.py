"""Settings of a worker, from the environment ``FEATHERWEIGHT_*``."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from pydantic import Field

from featherweight.settings import ClientSettings


def own_name() -> str:
    """Return the name of this machine, with the characters that a worker name may have."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname()).strip("-._")
    return name[:80] or "worker"


class WorkerSettings(ClientSettings):
    """One worker. Workers may share a folder: each keeps its own part under its name."""

    worker_folder: Path = Field(default=Path("var/worker"), description="Caches and the spool.")
    worker_name: str = Field(default_factory=own_name, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    worker_threads: int | None = Field(
        default=None, ge=1, le=1024, description="Threads of torch; left out: every core."
    )
    worker_cache_bytes: int = Field(
        default=20 << 30, ge=0, description="Least recently used files beyond this are dropped."
    )
    claim_wait_seconds: float = Field(
        default=5.0, ge=0, le=60, description="How long one question for work may stay open."
    )
    stop_grace_seconds: float = Field(
        default=10.0,
        gt=0,
        description="From asking the trainer to stop to SIGTERM, then to SIGKILL.",
    )

    @property
    def cache_folder(self) -> Path:
        """The folder of downloads by digest, shared by every worker on this folder."""
        return self.worker_folder / "cache"

    @property
    def own_folder(self) -> Path:
        """The folder that only the worker with this name may touch."""
        return self.worker_folder / self.worker_name
