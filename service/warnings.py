"""What a job's spec says that was probably not meant, as far as it is known now."""

from __future__ import annotations

from compress.inspection import DatasetInfo
from search import job_space, slack
from search.errors import SearchError
from store import datasets, jobs
from store.session import Session
from store.tables import JobRecord

_MOST_KNOWN = 256
_known: dict[tuple[str, bool], tuple[str, ...]] = {}
"""By job, and whether its baseline is measured: nothing else changes what is said."""


def of_job(session: Session, job: JobRecord) -> tuple[str, ...]:
    """Bounds that keep nothing out or everything; empty of a job that cannot be searched."""
    key = (job.id, job.baseline is not None)
    if key not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = _found(session, job)
    return _known[key]


def _found(session: Session, job: JobRecord) -> tuple[str, ...]:
    data = DatasetInfo.model_validate(datasets.get(session, job.dataset_id).info)
    try:
        space = job_space.space_of(session, job)
    except SearchError:
        return ()  # the job fails with that reason by itself
    return slack.cautions(jobs.spec(job), space, data, jobs.baseline(job))
