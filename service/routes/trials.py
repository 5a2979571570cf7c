"""Trials: one of them, why it ended, its files, re-runs; all of a job, and two jobs compared."""

import random

from fastapi import Response

from featherweight.specs.jobs.comparison import ComparisonSchema
from featherweight.specs.schemas import ArtifactSchema, TrialSchema, WhySchema
from search.front import comparison
from service.access.auth import READ, SUBMIT
from service.access.callers import Sender
from service.http.openapi import problems
from service.http.parameters import JobId, OtherJob, TrialId
from service.http.routing import router as guarded
from service.reports import compare, trial_table
from service.resources import ResourcesDep
from store.access import audit, owners
from store.attempts import attempts, views
from store.files import artifacts
from store.jobs import jobs
from store.session import Session
from store.tables.records import TrialRecord
from store.trials import rungs, trials

router = guarded("trials")

_HIGHEST_SEED = 2**31 - 1


@router.get(
    "/v1/jobs/{job_id}/trials.csv",
    operation_id="get_trials_csv",
    dependencies=[READ],
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def get_trials_csv(resources: ResourcesDep, job_id: JobId) -> Response:
    """All trials of a job as CSV: states, figures, times, and the knobs that were chosen."""
    with resources.database.read() as session:
        jobs.get(session, job_id)
        text = trial_table.table(session, job_id)
    named = {"Content-Disposition": f'attachment; filename="trials-{job_id[:8]}.csv"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=named)


@router.get("/v1/jobs/{job_id}/compare", operation_id="compare_jobs", dependencies=[READ])
def compare_jobs(resources: ResourcesDep, job_id: JobId, other: OtherJob) -> ComparisonSchema:
    """Two jobs beside each other: their fronts, their recommended files, and what hinders it."""
    with resources.database.read() as session:
        found = jobs.get(session, job_id), jobs.get(session, other)
        return compare.compare(session, *found)


@router.get("/v1/trials/{trial_id}", operation_id="get_trial", dependencies=[READ])
def get_trial(resources: ResourcesDep, trial_id: TrialId) -> TrialSchema:
    """One trial."""
    with resources.database.read() as session:
        return views.trial(trials.get(session, trial_id))


@router.get("/v1/trials/{trial_id}/why", operation_id="explain_trial", dependencies=[READ])
def explain_trial(resources: ResourcesDep, trial_id: TrialId) -> WhySchema:
    """Explain why a trial ended as it did: rungs and ranks, constraints, attempts."""
    with resources.database.read() as session:
        trial = trials.get(session, trial_id)
        view = views.trial(trial)
        return WhySchema(
            trial=view.id,
            state=view.state,
            reason=view.reason,
            failure_class=view.failure_class,
            violations=_violations(session, trial),
            rungs=tuple(views.rung(one) for one in rungs.of_trial(session, trial_id)),
            attempts=tuple(views.attempt(one) for one in attempts.of_trial(session, trial_id)),
        )


@router.get("/v1/trials/{trial_id}/artifacts", operation_id="list_artifacts", dependencies=[READ])
def list_artifacts(resources: ResourcesDep, trial_id: TrialId) -> tuple[ArtifactSchema, ...]:
    """Files of a trial, by rung."""
    with resources.database.read() as session:
        trials.get(session, trial_id)
        return tuple(views.artifact(one) for one in artifacts.of_trial(session, trial_id))


@router.post(
    "/v1/trials/{trial_id}/rerun",
    operation_id="rerun_trial",
    status_code=201,
    dependencies=[SUBMIT],
    responses=problems(409),
)
def rerun_trial(resources: ResourcesDep, sender: Sender, trial_id: TrialId) -> TrialSchema:
    """Try the same candidate again with another seed, on top of the budget."""
    seed = random.SystemRandom().randint(0, _HIGHEST_SEED)
    with resources.database.write() as session:
        job = jobs.get(session, trials.get(session, trial_id).job_id)
        owners.check(job, sender)
        again = trials.rerun(session, trial_id, seed=seed)
        audit.note(session, sender.name, "trial_rerun", job, trial=again.number)
        return views.trial(again)


def _violations(session: Session, trial: TrialRecord) -> dict[str, float]:
    measurement = views.trial(trial).measurement
    if measurement is None:
        return {}
    job = jobs.get(session, trial.job_id)
    return comparison.violations(measurement, jobs.spec(job).constraints, jobs.baseline(job))
