"""The lead of one searcher among several: every write is refused to whoever has lost it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from search.errors import LeadLost
from store import leader
from store.session import Database


class Lead:
    """A lease on the leader's row, renewed by every write and at the latest by a third of it."""

    def __init__(
        self,
        database: Database,
        *,
        holder: str,
        lease_seconds: float,
        lapsed: Callable[[], None],
    ) -> None:
        """Nothing is taken yet.

        Args:
            database: The store.
            holder: Who asks for the lead; new for every process.
            lease_seconds: How long it is kept without renewal.
            lapsed: Called before the lead is used again after it may have been somebody else's.
        """
        self._database = database
        self._holder = holder
        self._lease_seconds = lease_seconds
        self._lapsed = lapsed
        self._renew_at = self._held_until = -math.inf

    def is_held(self) -> bool:
        """Whether this searcher leads; the row is asked where it has not been for a while."""
        if time.monotonic() < self._renew_at:
            return True
        with self._database.write() as session:
            return self._take(session)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction, refused if another searcher leads; the leader's row is locked last.

        Raises:
            LeadLost: another searcher has taken over.
        """
        with self._database.write() as session:
            yield session
            if not self._take(session):
                raise LeadLost("another searcher has taken over")

    def doubt(self) -> None:
        """Ask the row before the next step: nobody knows what the last one wrote."""
        self._renew_at = -math.inf

    def resign(self) -> None:
        """Give it up at once."""
        with self._database.write() as session:
            leader.resign(session, self._holder)

    def _take(self, session: Session) -> bool:
        asked_at = time.monotonic()
        taken = leader.take(session, self._holder, lease_seconds=self._lease_seconds)
        if asked_at >= self._held_until:
            self._lapsed()
        self._renew_at = asked_at + self._lease_seconds / 3 if taken else -math.inf
        self._held_until = asked_at + self._lease_seconds if taken else -math.inf
        return taken
