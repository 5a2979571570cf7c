"""Find processes that should be running and are not, and expired leases that nobody ends."""

from __future__ import annotations

from collections.abc import Iterator

from featherweight import __version__
from featherweight.specs.checkup import Finding
from service.settings import ServiceSettings
from store.attempts import workers
from store.cluster import liveness
from store.cluster.liveness import Vigil
from store.session import Database

_SEEN_SECONDS = 60.0
_MOST_WORKERS = 200
_OVERDUE_SECONDS = 60.0
_START = "start it: `featherweight {}`, or `featherweight up` for everything"


def look(database: Database, settings: ServiceSettings) -> Iterator[Finding]:
    """Yield processes that are silent though there is work, overdue leases, and other versions."""
    with database.read() as session:
        vigil = liveness.vigil(
            session,
            overdue_seconds=_OVERDUE_SECONDS,
            per_owner=settings.parallel_trials_per_token,
        )
        seen, _ = workers.page(session, seconds=_SEEN_SECONDS, limit=_MOST_WORKERS, cursor=None)
    yield from _silent(vigil)
    if vigil.num_claimable and not seen:
        yield Finding(
            check="leases",
            what=f"trials wait, and no worker was heard of for {_SEEN_SECONDS:.0f} s",
            thing="workers",
            mend=_START.format("worker"),
        )
    for trial_id, worker in vigil.overdue:
        yield Finding(
            check="leases",
            what=f"the lease of worker {worker!r} is over and nobody has ended it",
            thing=f"trial {trial_id}",
            mend="start a searcher, which gives the trial back: `featherweight search`",
        )
    for worker in seen:
        if worker.info.get("version") != __version__:
            yield Finding(
                check="versions",
                what=f"a worker runs version {worker.info.get('version')}, this is {__version__}",
                thing=worker.name,
                mend="upgrade that worker and start it again",
            )


def _silent(vigil: Vigil) -> Iterator[Finding]:
    """Yield silent processes. A system that is down as a whole, with no work, is healthy."""
    is_up = vigil.searcher == "there" or vigil.service == "there"
    for name, state, command in (
        ("searcher", vigil.searcher, "search"),
        ("service", vigil.service, "serve"),
    ):
        if state == "there" or not (is_up or vigil.num_unfinished):
            continue
        how = "is not there" if state == "never" else "has given no sign of life for too long"
        if name == "searcher" and state == "silent":
            how += ", and nobody has taken over its lease"
        jobs = f", and {vigil.num_unfinished} jobs wait for their end"
        yield Finding(
            check="leases",
            what=f"the {name} {how}{jobs if vigil.num_unfinished else ''}",
            thing=name,
            mend=_START.format(command),
        )
