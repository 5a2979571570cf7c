"""The leadership of one searcher among several: a write fails once it is lost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from search.errors import LeadershipLost
from store.cluster import leader
from store.session import Database


class Leadership:
    """A lease on the leader's row, renewed by every write and after a third of its time."""

    def __init__(
        self,
        database: Database,
        *,
        holder: str,
        lease_seconds: float,
        lapsed: Callable[[], None],
    ) -> None:
        """Prepare; no lease is taken yet.

        Args:
            database: The store.
            holder: Who asks for the leadership; a new name for every process.
            lease_seconds: How long it lasts without renewal.
            lapsed: Called before the leadership is used again, if somebody else may have had it.
        """
        self._database = database
        self._holder = holder
        self._lease_seconds = lease_seconds
        self._lapsed = lapsed
        self._renew_at = self._held_until = -math.inf
        self._term: int | None = None

    def is_held(self) -> bool:
        """Return whether this searcher leads; read the row if the last look is too old."""
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
        """Open one transaction under the lease as it was taken; lock the leader's row last.

        Raises:
            LeadershipLost: another searcher leads, or has led since this one last asked, so earlier
                decisions may be wrong by now.
        """
        began_in = self._term
        with self._database.write() as session:
            yield session
            if began_in is None or self._take(session) != began_in:
                self.doubt()
                raise LeadershipLost("another searcher has taken over, or had meanwhile")

    def doubt(self) -> None:
        """Read the row before the next step, because the last write may be lost."""
        self._renew_at = -math.inf
        self._term = None

    def resign(self) -> None:
        """Give the lease up at once."""
        with self._database.write() as session:
            leader.resign(session, self._holder)

    def _take(self, session: Session) -> int | None:
        asked_at = time.monotonic()
        term = leader.take(session, self._holder, lease_seconds=self._lease_seconds)
        self._renew_at = -math.inf if term is None else asked_at + self._lease_seconds / 3
        self._held_until = -math.inf if term is None else asked_at + self._lease_seconds
        return term
