"""The problem of a job that is in our tables."""

from __future__ import annotations

from sqlalchemy.orm import Session

from compress.network.families import catalog
from compress.network.families.catalog import Architecture
from compress.tasks.inspection import DatasetInfo
from featherweight.specs.job import JobSpec, UntrainedModel
from search.space.problem import Problem
from store.attempts import profiles
from store.files import datasets, models
from store.jobs import jobs
from store.tables.records import JobRecord


def problem_of(session: Session, job: JobRecord) -> Problem:
    """Read the problem of a stored job as it stands now.

    Raises InvalidSpace, TechniqueDoesNotFit, or ProfileDoesNotFit.
    """
    spec = jobs.spec(job)
    return Problem.compiled(
        spec,
        DatasetInfo.model_validate(datasets.get(session, job.dataset_id).info),
        own=_own(session, job, spec),
        baseline=jobs.baseline(job),
        profile=profiles.of_job(session, job),
    )


def _own(session: Session, job: JobRecord, spec: JobSpec) -> Architecture:
    if isinstance(spec.model, UntrainedModel):
        return spec.model.architecture.config
    return catalog.read(models.get(session, job.model_id or "").architecture)
