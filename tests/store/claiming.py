"""A process of its own that claims: ``python -m tests.store.claiming URL NAME drain|hold``."""

from __future__ import annotations

import sys

from store.session import Database, open_database
from tests import factories


def drain(database: Database, name: str) -> None:
    """Claim and deliver until nothing is left; write every delivered trial's id."""
    while True:
        with database.write() as session:
            assignment = factories.claim(session, name)
        if assignment is None:
            return
        with database.write() as session:
            factories.deliver(session, assignment)
        sys.stdout.write(f"{assignment.trial}\n")


def hold(database: Database, name: str) -> None:
    """Claim under a lease that is over soon, say which trial, and wait to be killed."""
    with database.write() as session:
        assignment = factories.must_claim(session, name, lease_seconds=factories.OVER)
    sys.stdout.write(f"{assignment.trial}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    _, url, worker, mode = sys.argv
    {"drain": drain, "hold": hold}[mode](open_database(url, check_schema=False), worker)
