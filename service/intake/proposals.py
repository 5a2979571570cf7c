"""Candidates of a user: checked against the job, and queued for the searcher."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from compress.techniques.candidate import Candidate
from compress.values.errors import CompressError
from featherweight.specs.jobs.candidates import (
    CandidateRequest,
    CandidateRequests,
    CandidateSchema,
    ProposedSchema,
)
from search.errors import SearchError
from search.queue import proposals
from search.space.problem import Problem
from search.space.stored_problem import problem_of
from service.http import strict_json
from store.access import audit, owners
from store.access.owners import Caller
from store.jobs import jobs
from store.session import Session
from store.tables.records import CandidateRecord, JobRecord
from store.trials import candidates
from store.trials.candidates import ProposedCandidate


@dataclass(frozen=True, kw_only=True)
class Understood:
    """Candidates as a job would try them, with the profile that its space was built on."""

    profile_sha256: str | None
    proposed: tuple[ProposedCandidate, ...]


def check(session: Session, job_id: str, requests: CandidateRequests) -> Understood:
    """Return the candidates as the job would try them now. It takes a while and needs no lock.

    Raises:
        JobNotFound: there is no such job.
        RequestValidationError: candidates that the job cannot try, each with its place.
    """
    job = jobs.get(session, job_id)
    proposed = tuple(_checked(session, job, requests.root))
    return Understood(profile_sha256=job.profile_sha256, proposed=proposed)


def propose(
    session: Session,
    job_id: str,
    requests: CandidateRequests,
    understood: Understood,
    *,
    key: str | None,
    by: Caller,
) -> tuple[tuple[ProposedSchema, ...], bool]:
    """Queue the candidates of ``check``. Returns what became of each, and whether any is new.

    All of them are accepted or none.

    Raises:
        JobNotFound, RequestValidationError: as ``check``, if the job has changed meanwhile.
        NotOwner: the job is not the caller's.
        NotRunning: the job's search is over.
        BudgetExhausted: there is no room for all of them.
        IdempotencyConflict: the key came with other candidates before.
    """
    job = jobs.lock(session, job_id)
    owners.check(job, by)
    is_first = key is None or candidates.begin_post(
        session, job, key=key, body_sha256=_digest(requests), owner=by.name
    )
    if is_first:
        candidates.check_open(job)
    if job.profile_sha256 != understood.profile_sha256:
        understood = check(session, job_id, requests)
    answers = tuple(_taken(session, job, one) for one in understood.proposed)
    num_new = sum(answer.is_new for answer in answers)
    if num_new:
        audit.note(session, by.name, "candidates_proposed", job, candidates=num_new)
    return answers, num_new > 0


def view(record: CandidateRecord) -> CandidateSchema:
    """Return a proposed candidate as the API shows it."""
    return CandidateSchema.model_validate(
        {
            "number": record.number,
            "origin": record.origin,
            "state": _state(record),
            "trial": record.trial_id,
            "candidate": Candidate.of_record(record.candidate),
            "candidate_digest": record.candidate_digest,
            "description": _described(record),
            "in_space": record.params is not None,
            "note": record.note,
            "reason": record.dropped,
            "created_at": record.created_at,
        }
    )


def _digest(requests: CandidateRequests) -> str:
    text = json.dumps(requests.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _checked(
    session: Session, job: JobRecord, requests: Sequence[CandidateRequest]
) -> list[ProposedCandidate]:
    problem = problem_of(session, job)
    found: list[ProposedCandidate] = []
    errors: list[dict[str, Any]] = []
    for index, request in enumerate(requests):
        try:
            found.append(_understood(problem, request))
        except (SearchError, CompressError) as error:
            entry = {"type": type(error).__name__, "msg": str(error)}
            errors.append({**entry, "loc": ("body", index)})
        except ValidationError as error:
            errors += _placed(error, index)
    if errors:
        raise RequestValidationError(errors)
    return found


def _placed(error: ValidationError, index: int) -> Iterator[dict[str, Any]]:
    """Yield the errors of the configs, placed at their candidate."""
    yield from strict_json.listed(error, index)


def _understood(problem: Problem, request: CandidateRequest) -> ProposedCandidate:
    if request.steps is None:
        return proposals.of_params(problem.space, request.params or {})
    return proposals.of_steps(problem, request.steps)


def _taken(session: Session, job: JobRecord, proposed: ProposedCandidate) -> ProposedSchema:
    found = candidates.find(session, job.id, proposed.candidate.digest())
    is_new = found.record is None and found.trial is None
    record = found.record
    if is_new:
        record = candidates.add(session, job, proposed, origin=candidates.USER)
    return ProposedSchema(
        is_new=is_new,
        state="tried" if record is None or found.trial is not None else _state(record),
        trial=None if found.trial is None else found.trial.id,
        trial_number=None if found.trial is None else found.trial.number,
        candidate_digest=proposed.candidate.digest(),
        description=proposed.candidate.describe(),
        in_space=proposed.params is not None,
    )


def _state(record: CandidateRecord) -> Literal["waiting", "tried", "dropped"]:
    if record.trial_id is not None:
        return "tried"
    return "waiting" if record.dropped is None else "dropped"


def _described(record: CandidateRecord) -> str:
    return Candidate.of_record(record.candidate).describe()
