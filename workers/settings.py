"""What a worker needs to know: environment ``FEATHERWEIGHT_*``."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from pydantic import Field

from featherweight.settings import ClientSettings


def own_name() -> str:
    """This machine's name, in the letters that a worker's name may have."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname()).strip("-._")
    return name[:80] or "worker"


class WorkerSettings(ClientSettings):
    """One worker. Its folder may be shared: each worker keeps its own part under its name."""

    worker_folder: Path = Field(default=Path("var/worker"), description="Caches and the outbox.")
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
        default=10.0, gt=0, description="From asking the child to stop to SIGTERM, then to SIGKILL."
    )

    @property
    def cache_folder(self) -> Path:
        """Downloads by digest, for every worker on this folder."""
        return self.worker_folder / "cache"

    @property
    def own_folder(self) -> Path:
        """What only the worker of this name may touch."""
        return self.worker_folder / self.worker_name
