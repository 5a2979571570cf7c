"""The search space of a job that is in our tables."""

from __future__ import annotations

from sqlalchemy.orm import Session

from compress.network.families import catalog
from compress.network.families.catalog import Architecture
from compress.tasks.inspection import DatasetInfo
from featherweight.specs.job import UntrainedModel
from search.space import supernets
from search.space.feasibility import Network
from search.space.space import Space, build
from store.attempts import profiles
from store.files import datasets, models
from store.jobs import jobs
from store.tables.records import JobRecord


def space_of(session: Session, job: JobRecord) -> Space:
    """The job's search space, on its profile once it has one.

    Raises InvalidSpace, TechniqueDoesNotFit, or ProfileDoesNotFit.
    """
    spec, profile = jobs.spec(job), profiles.of_job(session, job)
    space = build(spec, supernets.searched(spec, architecture_of(session, job)))
    return space if profile is None else space.on(profile)


def network_of(session: Session, job: JobRecord, space: Space) -> Network:
    """What the job's candidates begin from."""
    data = DatasetInfo.model_validate(datasets.get(session, job.dataset_id).info)
    return Network.on(data, space.architecture)


def architecture_of(session: Session, job: JobRecord) -> Architecture:
    """The architecture of the job's own model."""
    spec = jobs.spec(job)
    if isinstance(spec.model, UntrainedModel):
        return spec.model.architecture.config
    return catalog.read(models.get(session, job.model_id or "").architecture)
