"""Calls to the service that wait through outages, and say so once per outage."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from compress.errors import Stopped
from featherweight.errors import ApiError, ServiceUnavailable, StaleAttempt
from featherweight.transport import FOREVER, RetryPolicy
from workers.stopping import StopFlag

Answer = TypeVar("Answer")
_SERVICE_ERROR = 500
_MOST_TRIES = 8
_log = logging.getLogger(__name__)


class Line:
    """The way to the service, as one process sees it."""

    def __init__(self, stop: StopFlag, *, retry: RetryPolicy = FOREVER) -> None:
        self._stop = stop
        self._retry = retry
        self._is_down = False

    def call(self, do: Callable[[], Answer]) -> Answer:
        """Do it, again and again while the service is away.

        An error inside the service may pass too, but not for ever. Raises ApiError, and Stopped
        when asked to stop in an outage: a last word is still tried once.
        """
        tried = 0
        while True:
            try:
                return self.once(do)
            except (ServiceUnavailable, ApiError) as error:
                tried += 1
                pause = self._retry.pause(tried)
                if pause is None or not _may_pass(error, tried):
                    raise
                if self._stop.wait(max(pause, getattr(error, "retry_after_seconds", 0.0))):
                    raise Stopped(self._stop.reason) from error

    def once(self, do: Callable[[], Answer]) -> Answer:
        """Do it once, and log when the service went away or came back."""
        try:
            answer = do()
        except ServiceUnavailable as error:
            if not self._is_down:
                _log.warning("the service is away, waiting for it: %s", error)
            self._is_down = True
            raise
        except ApiError:
            self._answered()
            raise
        self._answered()
        return answer

    def _answered(self) -> None:
        if self._is_down:
            _log.info("the service is back")
        self._is_down = False


def _may_pass(error: ServiceUnavailable | ApiError, tried: int) -> bool:
    if isinstance(error, ServiceUnavailable):
        return True
    if error.status < _SERVICE_ERROR or tried >= _MOST_TRIES:
        return False
    _log.warning("the service made a mistake, trying again: %s", error)
    return True


def is_lost(error: ApiError) -> bool:
    """Whether the service says that the attempt is not ours any more."""
    return isinstance(error, StaleAttempt) or error.code == "AttemptNotFound"
