"""Cut a connection whose other end reads nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Scope


async def cut(scope: Scope) -> None:
    """Drop the request's connection with its unread data.

    Closing it would wait for the buffer to be read, maybe for ever.
    """
    for connection in _of(scope):
        connection.transport.abort()
    # The server notices in the loop's next turn, and then does not miss the answer's end.
    await asyncio.sleep(0)


def _of(scope: Scope) -> list[Any]:
    """Return the server connection of the request; empty without a socket, as in tests."""
    known = getattr(scope["app"].state, "connections", ())
    return [one for one in known if one.client == scope["client"] and one.transport is not None]
