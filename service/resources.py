"""The resources of a running service, and how an endpoint gets them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import httpx2
from fastapi import Depends, Request

from service.housekeeping.conversions import Conversions
from service.housekeeping.inspector import Inspector
from service.settings import ServiceSettings
from service.shared.answers import AnswerCache
from service.shared.lanes import Lanes
from service.shared.logins import Logins
from service.shared.looks import Looks
from service.shared.metrics import Metrics
from service.shared.momentary import Momentary
from service.streaming.feeds import Feeds
from service.streaming.notifications import Notifications
from service.streaming.streams import Streams
from service.streaming.waiting import WaitingLine
from store.files.file_store import FileStore
from store.session import Database


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Everything that is opened at start and closed at the end."""

    settings: ServiceSettings
    database: Database
    files: FileStore
    notifications: Notifications
    metrics: Metrics
    dashboard: httpx2.AsyncClient
    lanes: Lanes
    waiting_line: WaitingLine
    answers: AnswerCache
    momentary: Momentary
    feeds: Feeds
    streams: Streams
    logins: Logins
    inspector: Inspector
    conversions: Conversions
    looks: Looks = field(default_factory=Looks)


def of(request: Request) -> Resources:
    """Return the resources of the application that serves the request."""
    return request.app.state.resources


async def _of_endpoint(request: Request) -> Resources:
    return of(request)


ResourcesDep = Annotated[Resources, Depends(_of_endpoint)]
