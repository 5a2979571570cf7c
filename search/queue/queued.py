"""Try the candidates that a user or an earlier job proposed, before a sampler is asked.

A candidate that the space contains is entered in the sampler's study, so that the sampler learns
from it. Any other is only a trial in our tables and on the front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from sqlalchemy.orm import Session

from compress.techniques.candidate import Candidate
from featherweight.specs.states import Phase
from search.errors import LeadershipLost
from search.study.job_search import JobSearch
from store.errors import BudgetExhausted, DuplicateCandidate, NotRunning
from store.tables.records import CandidateRecord, JobRecord
from store.trials import candidates, trials

Write = Callable[[], AbstractContextManager[Session]]


def make_trial(
    write: Write,
    job: JobRecord,
    job_search: JobSearch,
    record: CandidateRecord,
    *,
    known: Mapping[str, str],
) -> bool:
    """Make a trial of the candidate, or note the existing one; return whether either was done.

    A crash in between leaves a proposal without a trial. The next searcher discards it and makes
    the same trial. ``known`` holds the digests of candidates and the ids of their trials.
    """
    trial_id = known.get(record.candidate_digest)
    if trial_id is not None:
        with write() as session:
            candidates.is_tried_by(session, job, record.id, trial_id)
        return True
    number = None if record.params is None else job_search.study.place(record.params).study_number
    try:
        with write() as session:
            _create(session, job, job_search, record, study_number=number)
    except (BudgetExhausted, DuplicateCandidate, NotRunning, LeadershipLost) as refusal:
        if number is not None:
            job_search.study.discard(number)
        if isinstance(refusal, LeadershipLost):
            raise
        if isinstance(refusal, BudgetExhausted):
            # Nobody promised it a trial; waiting for one, it would keep the search from its end.
            with write() as session:
                return candidates.drop_waiting(session, job, str(refusal)) > 0
        return False
    return True


def _create(
    session: Session,
    job: JobRecord,
    job_search: JobSearch,
    record: CandidateRecord,
    *,
    study_number: int | None,
) -> None:
    row = trials.create(
        session,
        job,
        phase=Phase.SEARCH,
        origin=record.origin,
        candidate=Candidate.of_record(record.candidate),
        params=record.params,
        seed=job_search.problem.spec.seed,
        rungs=job_search.problem.spec.early_stopping.rungs,
        splits=("validation",),
        study_number=study_number,
    )
    candidates.is_tried_by(session, job, record.id, row.id)
