"""One transaction for a worker or a meter, on one thread of their lane."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from service.resources import Resources
from store.session import Session

Answer = TypeVar("Answer")


async def write(resources: Resources, act: Callable[[Session], Answer]) -> Answer:
    """Return what ``act`` answers. FastAPI uses a second thread for plain endpoints."""
    return await resources.lanes.for_worker(partial(_in_transaction, resources, act))


def _in_transaction(resources: Resources, act: Callable[[Session], Answer]) -> Answer:
    with resources.database.write() as session:
        return act(session)
