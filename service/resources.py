"""What a running service holds, and how an endpoint gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import httpx2
from fastapi import Depends, Request

from service.answers import Answers
from service.feeds import Feeds
from service.guesses import Logins
from service.lanes import Lanes
from service.metrics import Metrics
from service.momentary import Momentary
from service.settings import ServiceSettings
from service.streams import Streams
from service.waiting import WaitingLine
from service.wakeups import Wakeups
from store.files import FileStore
from store.session import Database


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Everything that is opened at start and closed at the end."""

    settings: ServiceSettings
    database: Database
    files: FileStore
    wakeups: Wakeups
    metrics: Metrics
    dashboard: httpx2.AsyncClient
    lanes: Lanes
    waiting_line: WaitingLine
    answers: Answers
    momentary: Momentary
    feeds: Feeds
    streams: Streams
    logins: Logins


def of(request: Request) -> Resources:
    """The resources of the application that serves the request."""
    return request.app.state.resources


async def _of_endpoint(request: Request) -> Resources:
    return of(request)


Here = Annotated[Resources, Depends(_of_endpoint)]
