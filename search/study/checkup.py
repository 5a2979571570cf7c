"""Compare studies with jobs: which are missing, superfluous, or still to be deleted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from sqlalchemy import Engine, select

from featherweight.specs.checkup import MOST_SHOWN, Finding
from search.errors import SearcherRunning, StudySchemaOutdated
from search.study import removing
from search.study.records import STUDIES
from search.study.storage import close_storage, open_storage
from store.cluster import leader, liveness
from store.database.engines import open_engine
from store.jobs import studies
from store.session import Database

_AT_ONCE = 500
_LEASE_SECONDS = 60.0


def look(database: Database, study_url: str) -> Iterator[Finding]:
    """Report what does not fit between studies and jobs, or in the version of the tables."""
    try:
        close_storage(open_storage(study_url))
    except StudySchemaOutdated as error:
        yield Finding(
            check="versions", what=str(error), thing="studies", mend="run `featherweight migrate`"
        )
        return
    engine = open_engine(study_url)
    try:
        yield from _without_job(database, engine)
        yield from _without_study(database, engine)
    finally:
        engine.dispose()
    yield from _noted(database)


def repair(database: Database, study_url: str) -> int:
    """Delete studies that are marked for removal or have no job; return how many.

    Raises:
        SearcherRunning: A searcher runs. It removes marked studies itself, and only it may write.
    """
    holder = f"doctor-{uuid.uuid4()}"
    _lead(database, holder)
    engine = open_engine(study_url)
    try:
        return sum(1 for name in _to_remove(database, engine) if _removed(database, engine, name))
    finally:
        engine.dispose()
        with database.write() as session:
            leader.resign(session, holder)


def _lead(database: Database, holder: str) -> None:
    with database.write() as session:
        if not leader.take(session, holder, lease_seconds=_LEASE_SECONDS):
            raise SearcherRunning("a searcher is running: it deletes the studies of deleted jobs")


def _removed(database: Database, engine: Engine, name: str) -> bool:
    removing.remove(engine, name)
    with database.write() as session:
        studies.done(session, name)
    return True


def _to_remove(database: Database, engine: Engine) -> Iterator[str]:
    while True:
        with database.read() as session:
            noted = studies.pending(session, limit=_AT_ONCE)
        if not noted:
            break
        yield from noted
    yield from (name for name in _orphans(database, engine) if _is_id(name))


def _without_job(database: Database, engine: Engine) -> Iterator[Finding]:
    for name in _orphans(database, engine):
        is_ours = _is_id(name)
        mend = "stop the searcher and run `featherweight doctor --repair`, which deletes it"
        yield Finding(
            check="studies",
            what="a study has no job",
            thing=name,
            mend=mend if is_ours else "it is none of ours by its name: look whose it is",
            repairable=is_ours,
        )


def _without_study(database: Database, engine: Engine) -> Iterator[Finding]:
    after: str | None = ""
    while after is not None:
        with database.read() as session:
            page = studies.searched(session, after=after, limit=_AT_ONCE)
        for job_id in sorted(set(page) - _named(engine, page)):
            yield Finding(
                check="studies",
                what="a job that has been searched has no study",
                thing=job_id,
                mend=f"stop the searcher and run `featherweight study rebuild {job_id}`; of a job "
                "that is not finished the searcher makes it again when it starts",
            )
        after = page[-1] if page else None


def _noted(database: Database) -> Iterator[Finding]:
    with database.read() as session:
        noted = studies.pending(session, limit=MOST_SHOWN + 1)
        if not noted or liveness.searcher_is_alive(session):
            return  # it is about to
    for job_id in noted:
        yield Finding(
            check="studies",
            what="the study of a deleted job is to be deleted, and no searcher is there to do it",
            thing=job_id,
            mend="start a searcher, or run `featherweight doctor --repair`",
            repairable=True,
        )


def _orphans(database: Database, engine: Engine) -> Iterator[str]:
    after: str | None = ""
    while after is not None:
        query = select(STUDIES.c.study_name).where(STUDIES.c.study_name > after)
        with engine.connect() as connection:
            page = connection.scalars(query.order_by(STUDIES.c.study_name).limit(_AT_ONCE)).all()
        with database.read() as session:
            found = list(studies.without_job(session, page))
        yield from found
        after = page[-1] if page else None


def _named(engine: Engine, names: list[str]) -> set[str]:
    query = select(STUDIES.c.study_name).where(STUDIES.c.study_name.in_(names))
    with engine.connect() as connection:
        return set(connection.scalars(query))


def _is_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False
