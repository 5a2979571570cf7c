"""Candidates that users propose to a running job."""

from typing import Annotated, Any

from fastapi import Body, Response

from featherweight.specs.jobs.candidates import CandidateRequests, CandidateSchema, ProposedSchema
from featherweight.specs.schemas import Page
from service.access.auth import READ, SUBMIT
from service.access.callers import Sender
from service.http.examples import CANDIDATES_EXAMPLE
from service.http.openapi import problems
from service.http.parameters import Cursor, IdempotencyKey, JobId, Limit
from service.http.routing import router as guarded
from service.intake import proposals
from service.resources import ResourcesDep
from store.access import owners
from store.jobs import jobs
from store.trials import candidates

router = guarded("candidates")

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": tuple[ProposedSchema, ...],
        "description": "The job had all of them already",
    }
}


@router.post(
    "/v1/jobs/{job_id}/candidates",
    operation_id="propose_candidates",
    status_code=201,
    dependencies=[SUBMIT],
    responses={**_RESPONSES, **problems(409)},
)
def propose_candidates(
    resources: ResourcesDep,
    sender: Sender,
    response: Response,
    job_id: JobId,
    requests: Annotated[CandidateRequests, Body(examples=[CANDIDATES_EXAMPLE])],
    idempotency_key: IdempotencyKey = None,
) -> tuple[ProposedSchema, ...]:
    """Try these candidates before the sampler's next ones, within the budget; equal ones once."""
    with resources.database.read() as session:
        owners.check(jobs.get(session, job_id), sender)
        understood = proposals.check(session, job_id, requests)
    with resources.database.write() as session:
        answers, is_new = proposals.propose(
            session, job_id, requests, understood, key=idempotency_key, by=sender
        )
    response.status_code = 201 if is_new else 200
    return answers


@router.get("/v1/jobs/{job_id}/candidates", operation_id="list_candidates", dependencies=[READ])
def list_candidates(
    resources: ResourcesDep, job_id: JobId, limit: Limit = 50, cursor: Cursor = None
) -> Page[CandidateSchema]:
    """Candidates that users or earlier jobs proposed, in the order in which they are tried."""
    with resources.database.read() as session:
        jobs.get(session, job_id)
        found, following = candidates.page(session, job_id, limit=limit, cursor=cursor)
        return Page(items=tuple(proposals.view(one) for one in found), next_cursor=following)
