"""The application: everything is opened at start and closed at the end; nothing is global."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial

from fastapi import FastAPI
from fastapi.routing import APIRoute, APIRouter, iter_route_contexts
from starlette.routing import BaseRoute

from featherweight import __version__
from service.dashboard import proxy
from service.housekeeping import conversions
from service.housekeeping.caretaker import Caretaker
from service.housekeeping.inspector import Inspector
from service.housekeeping.tidying import HousekeepingScope
from service.http import headers, openapi, problem_details
from service.resources import Resources
from service.routes import (
    artifacts,
    audit,
    candidates,
    cards,
    dashboard,
    datasets,
    events,
    jobs,
    models,
    pages,
    system,
    tokens,
    trials,
    uploads,
)
from service.routes.worker import attempts, measurements
from service.settings import ServiceSettings
from service.shared import lanes
from service.shared.answers import AnswerCache
from service.shared.logins import Logins
from service.shared.metrics import Metrics, Observed
from service.shared.momentary import Momentary
from service.shared.sign_of_life import SignOfLife
from service.streaming import lookouts
from service.streaming.feeds import Feeds
from service.streaming.notifications import Notifications
from service.streaming.streams import Streams
from service.streaming.waiting import WaitingLine
from store.access import shared_secrets
from store.cluster import liveness
from store.cluster.watch import Watcher
from store.files.file_store import FileStore
from store.session import Database, open_database

ROUTERS = (
    models.router,
    datasets.router,
    uploads.router,
    jobs.router,
    candidates.router,
    events.router,
    trials.router,
    artifacts.router,
    cards.router,
    attempts.router,
    measurements.router,
    artifacts.stored,
    tokens.router,
    audit.router,
    system.router,
    pages.router,
    dashboard.router,
)


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    """Return the service as an ASGI application.

    At start (not here) it raises SchemaOutdated if ``featherweight migrate`` has not been run.
    """
    chosen, metrics = settings or ServiceSettings(), Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _opened(chosen, metrics) as resources:
            app.state.resources = resources
            yield

    app = FastAPI(
        routes=_routes(),
        title="Featherweight",
        version=__version__,
        lifespan=lifespan,
        openapi_url=None,  # A guarded route of ours serves it.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings = chosen
    openapi.install(app, max_upload_bytes=chosen.max_upload_bytes)
    problem_details.install(app, _operations())
    app.add_middleware(headers.SafeHeaders)
    app.add_middleware(Observed, metrics=metrics)
    return app


@asynccontextmanager
async def _opened(settings: ServiceSettings, metrics: Metrics) -> AsyncIterator[Resources]:
    database = await asyncio.to_thread(open_database, settings.database_url)
    notifications = await _watch(database)
    secret = await asyncio.to_thread(_dashboard_secret, database)
    files = FileStore(settings.files)
    async with (
        proxy.open_client(settings.dashboard_address, secret=secret) as client,
        conversions.opened(files, settings) as converted,
    ):
        per_owner = settings.parallel_trials_per_token
        line = WaitingLine(notifications, partial(_num_claimable, database, per_owner))
        feeds = Feeds(database, notifications)
        streams = Streams(database, notifications, most=settings.streams_per_token)
        resources = Resources(
            settings=settings,
            database=database,
            files=files,
            notifications=notifications,
            metrics=metrics,
            dashboard=client,
            lanes=lanes.of_settings(settings),
            waiting_line=line,
            answers=AnswerCache(database),
            momentary=Momentary(),
            feeds=feeds,
            streams=streams,
            logins=Logins(most=settings.logins_per_minute),
            inspector=Inspector(database, files, settings),
            conversions=converted,
        )
        try:
            sign = SignOfLife(database, lease_seconds=settings.lease_seconds)
            house = HousekeepingScope(database=database, files=resources.files, settings=settings)
            watches = (line.lookout, feeds.lookout, streams.lookout, sign, Caretaker(house))
            async with lookouts.running(*watches, resources.inspector):
                yield resources
        finally:
            notifications.close()
            database.dispose()


def _dashboard_secret(database: Database) -> str:
    with database.write() as session:
        return shared_secrets.shared(session, shared_secrets.DASHBOARD)


def _num_claimable(database: Database, per_owner: int, most: int) -> int:
    with database.look() as connection:
        return liveness.num_claimable(connection, most=most, per_owner=per_owner)


async def _watch(database: Database) -> Notifications:
    notifications = Notifications(
        await asyncio.to_thread(Watcher, database), asyncio.get_running_loop()
    )
    notifications.start()
    return notifications


@cache
def _routes() -> list[BaseRoute]:
    """The routes, complete before anything is served.

    FastAPI would leave the rest to the first request of every application, under a filter of
    warnings that two threads overwrite for each other.
    """
    root = APIRouter()
    for router in ROUTERS:
        root.include_router(router)
    deque(iter_route_contexts(root.routes), maxlen=0)
    return root.routes


def _operations() -> list[APIRoute]:
    return [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
