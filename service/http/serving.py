"""Listen, and stop without cutting off running requests."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys

import uvicorn
from fastapi import FastAPI

from service.http import connections
from service.http.connections import Config, Connections
from service.resources import Resources
from service.settings import ServiceSettings

_STOP_SECONDS = 2
"""Open event streams would keep uvicorn from stopping for ever."""
_NOT_STARTED = 3
"""As uvicorn's own command line."""


class Server(uvicorn.Server):
    """Uvicorn, which tells waiting requests to finish before it waits for open ones.

    The shutdown of the application itself comes after the wait of uvicorn: long polls and event
    streams would last through it, be cancelled, and look like an error to the worker at the other
    end.
    """

    def __init__(self, app: FastAPI, *, host: str, port: int) -> None:
        """Create a server that has not started. Port 0 takes a free one."""
        settings: ServiceSettings = app.state.settings
        limits = connections.limits_of(settings)
        config = Config(
            app,
            connections=Connections(limits),
            host=host,
            port=port,
            log_level="warning",
            timeout_graceful_shutdown=_STOP_SECONDS,
            server_header=False,
        )
        super().__init__(config)
        logging.getLogger("uvicorn.error").addFilter(connections.SPARING)
        # What is wrong with a form stands in the answer.
        logging.getLogger("python_multipart").setLevel(logging.ERROR)
        self._app = app
        app.state.connections = self.server_state.connections

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: waiting requests are answered, others have ``timeout_graceful_shutdown``."""
        resources: Resources = self._app.state.resources
        resources.notifications.dismiss()
        await super().shutdown(sockets)


def serve(app: FastAPI, *, host: str, port: int) -> None:
    """Serve until a signal comes; exit with status 3 if the application does not start."""
    server = Server(app, host=host, port=port)
    # It has stopped in order by then; a traceback would say nothing more.
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(_NOT_STARTED)
