"""Prometheus metrics of this process and, counted at every scrape, of the store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from featherweight.specs.states import AttemptState
from store.jobs.statistics import Statistics

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WAITED = "waited_seconds"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HELD_OPEN = frozenset({"/v1/jobs/{job_id}/events"})
"""Addresses that mainly wait: their time means nothing, so they are only counted."""


class Metrics:
    """Counters of one application, in its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "featherweight_request_seconds",
            "Time from request to the end of the answer, by route template, waits not counted.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.claims = Histogram(
            "featherweight_claim_seconds",
            "Time of one look for a trial in the store, without the wait of the long poll.",
            buckets=_SECONDS,
            registry=self.registry,
        )

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Time one claim."""
        with self.claims.time():
            yield

    def page(self, statistics: Statistics) -> bytes:
        """Return everything in the text format of Prometheus."""
        counted = CollectorRegistry()
        counted.register(_Counted(statistics))
        return generate_latest(self.registry) + generate_latest(counted)


@contextmanager
def waiting(request: Request) -> Iterator[None]:
    """Exclude a wait within a request, such as a long poll, from the time of its answer."""
    begin = time.perf_counter()
    try:
        yield
    finally:
        before = getattr(request.state, _WAITED, 0.0)
        setattr(request.state, _WAITED, before + time.perf_counter() - begin)


class _Counted(Collector):
    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    def collect(self) -> Iterator[Metric]:
        found = self._statistics
        yield _by_state("featherweight_jobs", "Jobs by state.", found.jobs)
        yield _by_state("featherweight_trials", "Trials by state.", found.trials)
        yield GaugeMetricFamily(
            "featherweight_queue_depth",
            "Trials of running jobs that wait for a worker.",
            value=found.queue_depth,
        )
        yield GaugeMetricFamily(
            "featherweight_active_attempts",
            "Trials that a worker holds.",
            value=found.attempts[AttemptState.ACTIVE],
        )
        yield CounterMetricFamily(
            "featherweight_lease_expiries",
            "Attempts whose worker was not heard of in time.",
            value=found.attempts[AttemptState.EXPIRED],
        )


def _by_state(name: str, words: str, counts: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=("state",))
    for state, count in counts.items():
        family.add_metric((state,), count)
    return family


class Observed:
    """Counts every request by its route's template, so that ids create no new series."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and time it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status, begin = 500, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._count(scope, status, time.perf_counter() - begin)
        return None

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        if route in _HELD_OPEN and status == HTTPStatus.OK:
            seconds = 0.0
        seconds -= scope.get("state", {}).get(_WAITED, 0.0)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, str(status)).observe(seconds)
