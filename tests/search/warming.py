"""Jobs that start from others, written down as the service does it."""

from __future__ import annotations

from search.queue import warm_start
from search.queue.warm_start import Own
from search.space.stored_problem import problem_of
from store.session import Database
from store.tables.records import DatasetRecord, ModelRecord
from tests import factories


def submit(database: Database, *, model: str | None = None, **changes: object) -> str:
    """Id of a new job; ``model`` is the name of an uploaded one."""
    with database.write() as session:
        uploaded = None
        if model is not None:
            uploaded = session.query(ModelRecord).filter_by(name=model).one_or_none()
            uploaded = uploaded or factories.model(session, model)
        job = factories.job(session, model=uploaded, **changes)
        own = Own(
            problem=problem_of(session, job),
            model=uploaded,
            teacher=None,
            dataset=session.get_one(DatasetRecord, job.dataset_id),
        )
        warm_start.begin(session, job, warm_start.choose(session, own))
        return job.id
