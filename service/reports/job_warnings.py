"""Warnings about the spec, the data and the baseline of a job, as far as they are known."""

from __future__ import annotations

from compress.tasks.inspection import DatasetInfo
from search.errors import SearchError
from search.space import slack
from search.space.stored_problem import problem_of
from service.reports import warnings
from store.files import datasets
from store.jobs import failures, jobs
from store.session import Session
from store.tables.records import JobRecord

_MOST_KNOWN = 256
_known: dict[tuple[str, bool, str | None], tuple[str, ...]] = {}
"""By job, measured baseline, and profile: nothing else changes the warnings."""


def of_job(session: Session, job: JobRecord) -> tuple[str, ...]:
    """Return how many trials failed, what is wrong with data and baseline, and ``of_spec``."""
    data = DatasetInfo.model_validate(datasets.get(session, job.dataset_id).info)
    found = warnings.of_job(jobs.spec(job), data, jobs.baseline(job))
    said = failures.words(session, job)
    return tuple(dict.fromkeys((*((said,) if said else ()), *found, *of_spec(session, job))))


def of_spec(session: Session, job: JobRecord) -> tuple[str, ...]:
    """Return bounds that keep nothing out or everything; none of a job that cannot be searched."""
    key = (job.id, job.baseline is not None, job.profile_sha256)
    if key not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = _found(session, job)
    return _known[key]


def _found(session: Session, job: JobRecord) -> tuple[str, ...]:
    try:
        problem = problem_of(session, job)
    except SearchError:
        return ()  # the job fails with that reason by itself
    return slack.cautions(problem)
