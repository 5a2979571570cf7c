"""Check a job before it exists, and preview what it would do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from compress.network.signature import IMAGE_AXES
from compress.network.sources.inspection import ModelInfo
from compress.network.sources.onnx_info import OnnxInfo
from compress.network.sources.source import FamilySource, NetworkSource, OnnxSource
from compress.targets import registry as targets
from compress.tasks.inspection import DatasetInfo
from compress.values.measurement import PERTURBED_QUALITY
from compress.values.schedule import Schedule
from featherweight.specs.job import JobSpec, UntrainedModel
from featherweight.specs.schemas import DryRunSchema, Forecast
from featherweight.specs.states import ModelState
from featherweight.specs.stopping import StopRules
from search import sampling
from search.errors import SupernetDoesNotFit, TechniqueDoesNotFit
from search.forecasting import forecast
from search.forecasting.pace import Sample
from search.queue import warm_start
from search.queue.warm_start import Own, Start
from search.space import feasibility, input_checks, slack, stored_problem, supernets, validation
from search.space.problem import Problem
from search.space.supernets import EpochCosts
from service.errors import ModelDoesNotFitData, ModelRefused, UnknownDataset, UnknownModel
from service.http import strict_json
from service.intake import drawn, file_fit
from service.intake.file_fit import File
from service.reports import forecasts, warnings
from store.errors import DatasetNotFound, ModelNotFound, ModelNotReady
from store.files import datasets, models
from store.jobs import baselines, progress
from store.session import Session
from store.tables.records import DatasetRecord, ModelRecord

_MEMBER = "family_member"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A job that may be started."""

    problem: Problem
    model: ModelRecord | None
    teacher: ModelRecord | None
    supernet: ModelRecord | None
    dataset: DatasetRecord
    costs: EpochCosts
    feasibility: tuple[str, ...]
    warnings: tuple[str, ...]
    samples: Sequence[Sample]
    start: Start


def check(session: Session, spec: JobSpec) -> Checked:
    """Look up everything that the spec names, and check that it fits together.

    Raises:
        UnknownModel, UnknownDataset: the spec names something that was not uploaded.
        ModelNotReady, ModelRefused: an ONNX file is inspected still, or cannot be used.
        ModelDoesNotFitData: channels or classes of the model, of the teacher or of the supernet
            differ, or an ONNX file takes images of another size.
        search.errors.SearchError: a range, a technique, a constraint, a sampler, a supernet or a
            warm start is impossible, or the images are too small.
    """
    dataset = _dataset(session, spec)
    data = DatasetInfo.model_validate(dataset.info)
    _check_task(spec, data)
    _check_perturbed(spec, data)
    model, teacher, supernet = _model(session, spec), _teacher(session, spec), None
    drawn.check(spec, data)
    _check_fit(spec, model, data)
    _check_members(spec, model)
    if teacher is not None:
        _check_network("teacher", teacher, data, spec.data)
    if spec.supernet is not None and spec.supernet.model is not None:
        supernet = _supernet(
            session, spec.supernet.model, stored_problem.searched_source(spec, model)
        )
        _check_network("supernet.model", supernet, data, spec.data)
    trained = spec.model if isinstance(spec.model, UntrainedModel) else model
    assert trained is not None
    baseline = baselines.newest(session, model=trained, dataset=dataset, target=spec.target)
    found = stored_problem.networks_of(spec, model, data)
    problem = Problem.compiled(spec, data, found, baseline=baseline)
    input_checks.check_job(problem)
    validation.check_effects(problem.space.concrete, problem.space.acting)
    sampling.check(spec.sampler, problem.space, num_objectives=len(spec.objectives))
    said = (*warnings.of_job(spec, data, baseline), *file_fit.warnings(model))
    return Checked(
        problem=problem,
        model=model,
        teacher=teacher,
        supernet=supernet,
        dataset=dataset,
        costs=_costs(problem),
        feasibility=feasibility.check(problem),
        warnings=(*said, *slack.cautions(problem)),
        samples=forecasts.samples(progress.timed_before(session, model=trained, dataset=dataset)),
        start=warm_start.choose(
            session, Own(problem=problem, model=model, teacher=teacher, dataset=dataset)
        ),
    )


def _costs(problem: Problem) -> EpochCosts:
    """Return what epochs of the members cost; raises SupernetDoesNotFit if they cannot train."""
    supernets.check_training(problem)
    found = supernets.costs(problem)
    supernets.check_seconds(problem, found, left=problem.spec.budget.seconds)
    return found


def preview(checked: Checked) -> DryRunSchema:
    """Return what the job would do."""
    spec, space = checked.problem.spec, checked.problem.space
    candidates = space.num_candidates
    info = DatasetInfo.model_validate(checked.dataset.info)
    return DryRunSchema(
        data=info,
        fit=f"{_fit(checked.model, info)}; {_normalised(spec, checked.model, info)}",
        space=tuple(knob.schema() for knob in space.knobs),
        candidates=candidates if candidates != float("inf") else None,
        sampler=_sampler(checked),
        warm_start=tuple(f"{p.candidate.describe()}, {p.note}" for p in checked.start.candidates),
        trials={
            "baseline": 1,
            **({"supernet": 1} if spec.trains_supernet else {}),
            **({"profile": 1} if spec.profile else {}),
            "search": spec.search_trials,
            "finish": spec.finish.trials,
        },
        feasibility=checked.feasibility,
        warnings=checked.warnings,
        forecast=_forecast(checked),
    )


def _fit(model: ModelRecord | None, data: DatasetInfo) -> str:
    """Say in what a model that was checked fits the data."""
    images, classes = file_fit.examples(data.input_shape), data.answer
    if model is None:
        return f"the model is built for {images} and {classes}"
    if isinstance(models.source_of(model), OnnxSource):
        info = OnnxInfo.model_validate(model.info)
        said = f"answers with {classes}, as the data has them"
        if not data.num_classes:
            said = f"{file_fit.answers(info, data)}, which are compared with those of its files"
        return f"{model.name!r} takes {images} and {said}"
    channels = data.input_shape[0]
    return (
        f"{model.name!r} takes images of {channels} channel{'s'[: channels > 1]} and any size, and "
        f"answers with {classes}, as the data has them"
    )


def _normalised(spec: JobSpec, model: ModelRecord | None, data: DatasetInfo) -> str:
    """Say what happens to the values of the data before the network sees them."""
    low, high = data.value_range
    if model is None:
        assert isinstance(spec.model, UntrainedModel)
        if drawn.takes_ids(spec):
            return "its ids are looked up as they are"
        asked = spec.model.normalisation
        return f"its normalisation is {asked.words if asked else 'measured on the training images'}"
    found = models.normalisation_of(model)
    if found is None or found.is_identity:
        return (
            f"it is given the values as they are, from {low:g} to {high:g}: if it was trained on "
            "others, send it again with the normalisation of its training"
        )
    return f"its normalisation is {found.words}"


def _forecast(checked: Checked) -> Forecast:
    problem = checked.problem
    return forecast.forecast(
        problem.spec,
        train_images=problem.train_images,
        baseline=problem.baseline,
        costs=replace(checked.costs, typical=supernets.typical(problem)),
        progress=forecast.Progress(samples=checked.samples),
    )


def digest(spec: JobSpec) -> str:
    """Return the SHA-256 of the canonical spec: equal for requests that mean the same job."""
    document = spec.model_dump(mode="json")
    for path, default in _ADDED.items():
        *parts, field = path.split(".")
        place = document[parts[0]] if parts else document
        # A model may be a name and a supernet none: then there is no such field.
        if isinstance(place, dict) and place[field] == default:
            del place[field]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


_ADDED: dict[str, Any] = {
    **dict.fromkeys(("recovery.augment", "model.augment", "supernet.augment"), "auto"),
    **dict.fromkeys(("teacher", "student", "supernet", "profile", "warm_start")),
    "expected_accuracy": None,
    "allow_chance_baseline": False,
    "target": targets.DEFAULT.name,
    "recovery": Schedule().model_dump(mode="json", exclude={"augment"}),
    "stop": StopRules().model_dump(mode="json"),
    "budget.epochs": None,
    "early_stopping.tie_break": "auto",
    "early_stopping.rounding": "auto",
    "early_stopping.extrapolate": False,
    "early_stopping.longest": 0.125,
}
"""Fields added later: with these values a job keeps the digest that it had without them."""


def _sampler(checked: Checked) -> str:
    name, reason = sampling.resolve(checked.problem)
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


def _supernet(session: Session, reference: str, largest: NetworkSource) -> ModelRecord:
    """Return the uploaded supernet. Raises SupernetDoesNotFit if it is another network."""
    model = _uploaded(session, "supernet.model", reference)
    if models.source_of(model) != largest:
        raise SupernetDoesNotFit(
            f"supernet.model: {model.name!r} has another architecture than the network whose "
            f"members are tried ({largest}): name a supernet of that one, or make its architecture "
            "the job's student"
        )
    return model


def _uploaded(session: Session, field: str, reference: str) -> ModelRecord:
    try:
        found = models.get(session, reference)
    except ModelNotFound as error:
        raise UnknownModel(
            f"{field}: no model has the id or name {reference!r}; upload it to /v1/models first"
        ) from error
    _check_state(field, found)
    return found


def _check_state(field: str, model: ModelRecord) -> None:
    if model.state == ModelState.INSPECTING:
        raise ModelNotReady(
            f"{field}: {model.name!r} is being inspected: submit the job again once "
            f"GET /v1/models/{model.id} says that its state is ready"
        )
    if model.state == ModelState.REFUSED:
        reasons = "; ".join(map(str, model.reasons or ()))
        raise ModelRefused(f"{field}: {model.name!r} was refused by its inspection: {reasons}")


def _check_task(spec: JobSpec, data: DatasetInfo) -> None:
    if spec.task != data.task:
        raise ModelDoesNotFitData(
            f"task: is {spec.task}, and the data {spec.data!r} was sent for {data.task}: write "
            f"task: {data.task} into the job, or send the data again with task: {spec.task}"
        )


def _check_perturbed(spec: JobSpec, data: DatasetInfo) -> None:
    has_copy = data.text is not None and data.text.is_perturbed
    if PERTURBED_QUALITY in spec.compared and not has_copy:
        raise ModelDoesNotFitData(
            f"{PERTURBED_QUALITY}: the data {spec.data!r} has no perturbed copy: send "
            "it as texts, or with x_perturbed, or leave the metric out"
        )


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
    source = models.source_of(model)
    if isinstance(source, OnnxSource):
        info = OnnxInfo.model_validate(model.info)
        file_fit.check(File(field=field, name=model.name, info=info), data, data_name)
        return
    if len(data.input_shape) != IMAGE_AXES:
        raise ModelDoesNotFitData(
            f"{field}: {model.name!r} is of a family and takes images, the data {data_name!r} has "
            f"{file_fit.examples(data.input_shape)}: export a network for these as an ONNX file"
        )
    info = ModelInfo.model_validate(model.info)
    found = (info.in_channels, info.num_classes)
    expected = (data.input_shape[0], data.num_classes)
    if found != expected:
        raise ModelDoesNotFitData(
            f"{field}: {model.name!r} takes {found[0]} channels and tells {found[1]} classes "
            f"apart, the data {data_name!r} has {expected[0]} and {expected[1]}"
        )
    outline = stored_problem.outlined(source, data, where=field, data=data_name)
    input_checks.check(outline, where=field, data=data_name)


def _check_members(spec: JobSpec, model: ModelRecord | None) -> None:
    """Raise TechniqueDoesNotFit if a job on an ONNX file asks for networks of a family."""
    if model is None or isinstance(models.source_of(model), FamilySource):
        return
    asked = [name for name in ("student", "supernet") if getattr(spec, name) is not None]
    asked += [f"techniques.{_MEMBER}"] if _MEMBER in spec.techniques else []
    if asked:
        raise TechniqueDoesNotFit(
            f"{' and '.join(asked)}: {model.name!r} is an ONNX file, and only networks of a family "
            f"have members: leave {'them' if len(asked) > 1 else 'it'} out"
        )


def changed(document: dict[str, Any], changes: dict[str, Any]) -> JobSpec:
    """Return a recorded spec with some of its fields replaced. Raises RequestValidationError.

    What is not replaced means what it meant when it was recorded.
    """
    recorded = JobSpec.of_record(document).model_dump(mode="json")
    return strict_json.understand(JobSpec, {**recorded, **changes})
