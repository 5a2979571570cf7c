"""Calls to the service that are retried through outages, with one log line per outage."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from compress.values.errors import Stopped
from featherweight.client.transport import FOREVER, RetryPolicy
from featherweight.errors import ApiError, ServiceUnavailable, StaleAttempt
from workers.stopping import StopFlag

Answer = TypeVar("Answer")
_SERVICE_ERROR = 500
_PASSING = frozenset({"FileBusy"})
_FINAL = frozenset({"FileCorrupt"})
_SLICE_SECONDS = 2.0
_log = logging.getLogger(__name__)


class RetryingConnection:
    """The connection of one process to the service."""

    def __init__(
        self,
        stop: StopFlag,
        *,
        retry: RetryPolicy = FOREVER,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Call the service until ``stop`` is set.

        Args:
            stop: Ends the waiting.
            retry: Pauses between two tries.
            meanwhile: Called every few seconds while an outage is waited out.
        """
        self._stop = stop
        self._retry = retry
        self._meanwhile = meanwhile
        self._is_down = False

    def call(self, do: Callable[[], Answer]) -> Answer:
        """Make the call, repeatedly while the service is away or fails.

        A fault inside the service (any 5xx) is retried however long it takes: the request is not to
        blame. Raises ApiError for an answer, and Stopped if asked to stop during an outage; the
        call is then still tried once.
        """
        tried = 0
        while True:
            try:
                return self.once(do)
            except (ServiceUnavailable, ApiError) as error:
                tried += 1
                pause = self._retry.pause(tried)
                if pause is None or is_answer(error):
                    raise
                if self._wait(max(pause, getattr(error, "retry_after_seconds", 0.0))):
                    raise Stopped(self._stop.reason) from error

    def once(self, do: Callable[[], Answer]) -> Answer:
        """Make the call once, and log when the service went away or came back."""
        try:
            answer = do()
        except (ServiceUnavailable, ApiError) as error:
            if is_answer(error):
                self._answered()
            else:
                self._failed(error)
            raise
        self._answered()
        return answer

    def _wait(self, seconds: float) -> bool:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            if self._stop.wait(min(left, _SLICE_SECONDS)):
                return True
            self._meanwhile()
        return self._stop()

    def _failed(self, error: Exception) -> None:
        if not self._is_down:
            _log.warning("the service is away, waiting for it: %s", error)
        self._is_down = True

    def _answered(self) -> None:
        if self._is_down:
            _log.info("the service is back")
        self._is_down = False


def is_answer(error: Exception) -> bool:
    """Return whether the service has understood the request and refuses it; other errors may pass.

    Faults inside the service may pass, and so may answers of something in between, such as a proxy.
    """
    if not isinstance(error, ApiError) or error.code in _PASSING:
        return False
    if error.code in _FINAL:
        return True
    return error.status < _SERVICE_ERROR and not error.is_foreign


def is_lost(error: ApiError) -> bool:
    """Return whether the service says that the attempt is no longer ours."""
    return isinstance(error, StaleAttempt) or error.code == "AttemptNotFound"
