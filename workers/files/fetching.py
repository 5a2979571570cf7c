"""Fetch files of an assignment through outages, and name a file that the service has lost."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from featherweight.client.worker_client import WorkerClient
from featherweight.errors import DigestMismatch, FileLost
from workers.connection import RetryingConnection

_MOST_DAMAGED = 4
_log = logging.getLogger(__name__)


class Fetcher:
    """Fetches files by digest for one process; ``connection`` is that of the current trial."""

    def __init__(self, client: WorkerClient, connection: RetryingConnection) -> None:
        self._client = client
        self.connection = connection

    def __call__(self, sha256: str, target: Path) -> None:
        """Put the verified file at ``target``, whole or not at all.

        Raises FileLost if the service does not have it, or if it arrives damaged again and again;
        Stopped if asked to stop during an outage.
        """
        for _ in range(_MOST_DAMAGED):
            try:
                self.connection.call(partial(self._client.fetch, sha256, target))
            except DigestMismatch as error:
                _log.warning("a file was damaged on its way, fetching it again: %s", error)
            else:
                return
        raise FileLost(sha256, f"{sha256} was damaged on its way {_MOST_DAMAGED} times in a row")
