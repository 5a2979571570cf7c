"""What is checked of a job before it exists, and what it would do."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from compress.families.catalog import Architecture
from compress.inspection import DatasetInfo, ModelInfo
from compress.measurement import Measurement
from featherweight.specs.job import JobSpec, UntrainedModel
from featherweight.specs.schemas import DryRunSchema
from search import feasibility, forecast, sampling
from search import space as spaces
from search.space import Space
from service.errors import ModelDoesNotFitData, UnknownDataset, UnknownModel
from store import baselines, datasets, models
from store.errors import DatasetNotFound, ModelNotFound
from store.session import Session
from store.tables import DatasetRecord, ModelRecord


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A job that may be started."""

    spec: JobSpec
    model: ModelRecord | None
    teacher: ModelRecord | None
    dataset: DatasetRecord
    data: DatasetInfo
    space: Space
    feasibility: tuple[str, ...]
    baseline: Measurement | None


def check(session: Session, spec: JobSpec) -> Checked:
    """Look everything up and hold it against each other.

    Raises:
        UnknownModel, UnknownDataset: the spec names something that was not uploaded.
        ModelDoesNotFitData: channels or classes of the model or of the teacher differ.
        search.errors.SearchError: a range, a technique or a constraint is impossible.
    """
    dataset = _dataset(session, spec)
    data = DatasetInfo.model_validate(dataset.info)
    model, teacher = _model(session, spec), _teacher(session, spec)
    architecture = _architecture(spec, model)
    _check_fit(spec, model, data)
    if teacher is not None:
        _check_network("teacher", teacher, data, spec.data)
    space = spaces.build(spec, architecture)
    network = spec.model if isinstance(spec.model, UntrainedModel) else model
    assert network is not None
    baseline = baselines.newest(session, model=network, dataset=dataset)
    said = feasibility.check(
        spec,
        architecture=architecture,
        in_channels=data.input_shape[0],
        num_classes=data.num_classes,
        input_shape=data.input_shape,
        baseline=baseline,
    )
    return Checked(
        spec=spec,
        model=model,
        teacher=teacher,
        dataset=dataset,
        data=data,
        space=space,
        feasibility=said,
        baseline=baseline,
    )


def preview(checked: Checked) -> DryRunSchema:
    """What the job would do."""
    spec = checked.spec
    candidates = checked.space.num_candidates
    return DryRunSchema(
        space=checked.space.knobs,
        candidates=candidates if candidates != float("inf") else None,
        sampler=_sampler(checked),
        trials={
            "baseline": 1,
            "search": spec.search_trials,
            "finish": spec.finish.trials,
        },
        feasibility=checked.feasibility,
        forecast=forecast.forecast(
            spec, train_images=checked.data.splits["train"], baseline=checked.baseline
        ),
    )


def digest(spec: JobSpec) -> str:
    """SHA-256 of the canonical spec: equal for requests that mean the same job."""
    # A job without a teacher has the digest that it had before there were teachers.
    document = spec.model_dump(mode="json", exclude=None if spec.teacher else {"teacher"})
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _sampler(checked: Checked) -> str:
    spec = checked.spec
    name, reason = sampling.resolve(spec.sampler, checked.space, spec.search_trials)
    return f"{name} ({reason})"


def _dataset(session: Session, spec: JobSpec) -> DatasetRecord:
    try:
        return datasets.get(session, spec.data)
    except DatasetNotFound as error:
        raise UnknownDataset(
            f"data: no dataset has the id or name {spec.data!r}; upload it to /v1/datasets first"
        ) from error


def _model(session: Session, spec: JobSpec) -> ModelRecord | None:
    if isinstance(spec.model, UntrainedModel):
        return None
    return _uploaded(session, "model", spec.model)


def _teacher(session: Session, spec: JobSpec) -> ModelRecord | None:
    return None if spec.teacher is None else _uploaded(session, "teacher", spec.teacher)


def _uploaded(session: Session, field: str, reference: str) -> ModelRecord:
    try:
        return models.get(session, reference)
    except ModelNotFound as error:
        raise UnknownModel(
            f"{field}: no model has the id or name {reference!r}; upload it to /v1/models first"
        ) from error


def _architecture(spec: JobSpec, model: ModelRecord | None) -> Architecture:
    if isinstance(spec.model, UntrainedModel):
        return spec.model.architecture
    assert model is not None
    return ModelInfo.model_validate(model.info).architecture


def _check_fit(spec: JobSpec, model: ModelRecord | None, data: DatasetInfo) -> None:
    channels = data.input_shape[0]
    if isinstance(spec.model, UntrainedModel):
        normalisation = spec.model.normalisation
        if normalisation is not None and len(normalisation.mean) != channels:
            raise ModelDoesNotFitData(
                f"model.normalisation: has {len(normalisation.mean)} channels, "
                f"the images of {spec.data!r} have {channels}"
            )
        return
    assert model is not None
    _check_network("model", model, data, spec.data)


def _check_network(field: str, model: ModelRecord, data: DatasetInfo, data_name: str) -> None:
    info = ModelInfo.model_validate(model.info)
    found = (info.in_channels, info.num_classes)
    expected = (data.input_shape[0], data.num_classes)
    if found != expected:
        raise ModelDoesNotFitData(
            f"{field}: {model.name!r} takes {found[0]} channels and tells {found[1]} classes "
            f"apart, the data {data_name!r} has {expected[0]} and {expected[1]}"
        )


def changed(document: dict[str, Any], changes: dict[str, Any]) -> JobSpec:
    """A spec with some of its fields replaced; raises RequestValidationError."""
    try:
        return JobSpec.model_validate({**document, **changes})
    except ValidationError as error:
        found = [{**entry, "loc": ("body", *entry["loc"])} for entry in error.errors()]
        raise RequestValidationError(found) from error
