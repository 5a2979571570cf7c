"""The problem of a job in our tables, and its networks: the one place that outlines them."""

from __future__ import annotations

from sqlalchemy.orm import Session

from compress.network.outline import Outline
from compress.network.sources.source import (
    DrawnSource,
    FamilySource,
    NetworkSource,
    OnnxSource,
)
from compress.tasks.inspection import DatasetInfo
from compress.values.errors import InvalidCandidate
from featherweight.specs.job import JobSpec, UntrainedModel
from search.space import input_checks
from search.space.problem import Networks, Problem
from store.attempts import profiles
from store.files import datasets, models
from store.jobs import jobs
from store.tables.records import JobRecord, ModelRecord


def problem_of(session: Session, job: JobRecord) -> Problem:
    """Read the problem of a stored job as it stands now.

    Raises InvalidSpace, TechniqueDoesNotFit, ProfileDoesNotFit, or ImagesTooSmall.
    """
    spec = jobs.spec(job)
    dataset = DatasetInfo.model_validate(datasets.get(session, job.dataset_id).info)
    model = None if job.model_id is None else models.get(session, job.model_id)
    return Problem.compiled(
        spec,
        dataset,
        networks_of(spec, model, dataset),
        baseline=jobs.baseline(job),
        profile=profiles.of_job(session, job),
    )


def networks_of(spec: JobSpec, model: ModelRecord | None, dataset: DatasetInfo) -> Networks:
    """Outline the networks of a job; ``model`` is the uploaded one that it names, if it does.

    Raises ImagesTooSmall if a network cannot read the images of the dataset, and ModelNotReady.
    """
    own = _outlined_model(spec, model, dataset)
    if spec.student is None:
        return Networks(own=own)
    student = outlined(spec.student, dataset, where="student", data=spec.data)
    return Networks(own=own, student=student)


def searched_source(spec: JobSpec, model: ModelRecord | None) -> NetworkSource:
    """Return the source of the largest network whose members are tried."""
    return _own(spec, model) if spec.student is None else spec.student


def outlined(
    source: FamilySource | DrawnSource, dataset: DatasetInfo, *, where: str, data: str
) -> Outline:
    """Outline a network of a family for the examples of a dataset.

    Raises ImagesTooSmall, which names ``where`` the network stands in the job, and the ``data``.
    """
    try:
        if isinstance(source, DrawnSource):
            source = source.fitted(dataset.examples)
        return source.outline(input_shape=dataset.input_shape, num_classes=dataset.num_classes)
    except InvalidCandidate as error:
        raise input_checks.unfit(error, dataset.input_shape, where=where, data=data) from error


def _outlined_model(spec: JobSpec, model: ModelRecord | None, dataset: DatasetInfo) -> Outline:
    source = _own(spec, model)
    if not isinstance(source, OnnxSource):
        return outlined(source, dataset, where="model", data=spec.data)
    assert model is not None
    return models.outline_of(model)


def _own(spec: JobSpec, model: ModelRecord | None) -> NetworkSource:
    if isinstance(spec.model, UntrainedModel):
        return spec.model.architecture
    assert model is not None
    return models.source_of(model)
