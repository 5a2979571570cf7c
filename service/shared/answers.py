"""Keep answers about a job until the job changes, each with an ETag."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from service.shared import conditional
from service.shared.single_flight import SingleFlight
from store.jobs import jobs
from store.meters import meterings
from store.session import Database, Session
from store.tables.records import JobRecord

MOST_KEPT = 512
MOST_BYTES = 64 * 1024**2
_THREADS = 2
"""Answers cost CPU time: more at once would only delay the other requests."""
_OVERHEAD_BYTES = 1024

Key: TypeAlias = tuple[str, str]
"""Id of the job, and name of the answer."""
View: TypeAlias = Callable[[Session, JobRecord], BaseModel]


@dataclass(frozen=True, kw_only=True)
class KeptAnswer:
    """A document about a job. Everything in it except time is as of ``version``."""

    version: int
    body: bytes
    good_until: float = float("inf")
    etag: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(self.body).hexdigest()
        object.__setattr__(self, "etag", f'"{digest[:32]}"')


class AnswerCache:
    """The newest answers of this process, limited in number and bytes.

    Every change that an answer shows writes an event of its job or is a measurement of a meter. The
    version is the number of both, so the same version means the same answer. Used on the event
    loop's thread only.
    """

    def __init__(
        self, database: Database, *, most: int = MOST_KEPT, most_bytes: int = MOST_BYTES
    ) -> None:
        self._database = database
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Key, KeptAnswer] = OrderedDict()
        self._flights: SingleFlight[KeptAnswer] = SingleFlight(threads=_THREADS)
        self.size_bytes = 0

    async def respond(
        self, request: Request, job_id: str, view: View, *, seconds: float = float("inf")
    ) -> Response:
        """Return the view of the job as JSON, or 304 if the client has it already.

        Args:
            request: Who asks; authorised.
            job_id: The job.
            view: Makes the document; its name is that of the answer.
            seconds: How long the answer of an unfinished job is good if nothing happens.

        Raises:
            JobNotFound: no job has this id.
        """
        version = await run_in_threadpool(_version, self._database, job_id)
        key = (job_id, view.__name__)
        answer = self._find(key, version)
        while answer is None:
            compute = partial(_compute, self._database, job_id, view, seconds)
            answer = await self._flights.run(key, compute)
            self._keep(key, answer)
            if answer.version < version:
                answer = None  # it was begun before the change that this request may know of
        return conditional.respond(request, answer.body, etag=answer.etag)

    def _find(self, key: Key, version: int) -> KeptAnswer | None:
        found = self._kept.get(key)
        if found is None or found.version < version or found.good_until < time.monotonic():
            return None
        self._kept.move_to_end(key)
        return found

    def _keep(self, key: Key, answer: KeptAnswer) -> None:
        self._drop(key)
        self._kept[key] = answer
        self.size_bytes += _size(answer)
        while len(self._kept) > self._most or self.size_bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            self.size_bytes -= _size(dropped)


def _version(database: Database, job_id: str) -> int:
    with database.read() as session:
        return jobs.last_event(session, job_id) + meterings.num_done(session, job_id)


def _compute(database: Database, job_id: str, view: View, seconds: float) -> KeptAnswer:
    with database.read() as session:
        # Read before everything else: on PostgreSQL later reads may see more, and never less.
        job = jobs.get(session, job_id)
        version = job.last_event + meterings.num_done(session, job_id)
        is_finished = job.finished_at is not None
        body = view(session, job).model_dump_json(by_alias=True).encode()
    good_until = float("inf") if is_finished else time.monotonic() + seconds
    return KeptAnswer(version=version, body=body, good_until=good_until)


def _size(answer: KeptAnswer) -> int:
    return len(answer.body) + _OVERHEAD_BYTES
