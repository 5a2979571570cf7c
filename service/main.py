"""The service's process."""

from __future__ import annotations

import gc
import sys

from service.app import create_app
from service.http import serving
from service.settings import ServiceSettings
from store.access import tokens
from store.errors import SchemaOutdated
from store.session import open_database


class RefusedToStart(Exception):
    """The service would not be safe, or could not work; the text says what to do."""


def run(settings: ServiceSettings | None = None) -> None:
    """Serve until a signal comes; exits with a message where it must not start."""
    chosen = settings or ServiceSettings()
    try:
        check(chosen)
    except (RefusedToStart, SchemaOutdated) as error:
        sys.exit(str(error))
    app = create_app(chosen)
    # What is there now stays: a full collection over it would hold up an answer for 90 ms.
    gc.collect()
    gc.freeze()
    serving.serve(app, host=chosen.host, port=chosen.port)


def check(settings: ServiceSettings) -> None:
    """Whether the service may start with these settings.

    Raises:
        SchemaOutdated: the database is not migrated.
        RefusedToStart: other machines could reach it, and no token says who may do what.
    """
    database = open_database(settings.database_url)
    try:
        with database.read() as session:
            has_tokens = tokens.any_exist(session)
    finally:
        database.dispose()
    if not settings.is_loopback and not has_tokens:
        raise RefusedToStart(
            f"refusing to listen on {settings.host} without tokens: anyone could use the service. "
            "Make one with `featherweight token create`, or listen on 127.0.0.1."
        )
