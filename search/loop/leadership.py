"""The lead of one searcher among several: every write is refused to whoever has lost it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from search.errors import LeadLost
from store.cluster import leader
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
        self._term: int | None = None

    def is_held(self) -> bool:
        """Whether this searcher leads; the row is asked where it has not been for a while."""
        if time.monotonic() < self._renew_at:
            return True
        had_until = self._held_until
        with self._database.write() as session:
            asked_at, term = time.monotonic(), self._take(session)
        if asked_at >= had_until or term != self._term:
            self._lapsed()
        self._term = term
        return term is not None

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction under the lead as it was taken; the leader's row is locked last.

        Raises:
            LeadLost: another searcher leads, or has led since this one last asked: what was decided
                before may be wrong by now.
        """
        began_in = self._term
        with self._database.write() as session:
            yield session
            if began_in is None or self._take(session) != began_in:
                self.doubt()
                raise LeadLost("another searcher has taken over, or had meanwhile")

    def doubt(self) -> None:
        """Ask the row before the next step: nobody knows what the last one wrote."""
        self._renew_at = -math.inf
        self._term = None

    def resign(self) -> None:
        """Give it up at once."""
        with self._database.write() as session:
            leader.resign(session, self._holder)

    def _take(self, session: Session) -> int | None:
        asked_at = time.monotonic()
        term = leader.take(session, self._holder, lease_seconds=self._lease_seconds)
        self._renew_at = -math.inf if term is None else asked_at + self._lease_seconds / 3
        self._held_until = -math.inf if term is None else asked_at + self._lease_seconds
        return term
