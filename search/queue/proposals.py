"""Check candidates that people propose for a job, by values of its knobs or by steps.

Values of knobs must lie in the job's ranges. Steps need not: any value that the technique's config
accepts may be tried, as long as the technique is one of the job's and the network can have it. Such
a candidate has no coordinates in the space, so it is not reported to the sampler.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from compress.techniques.candidate import Candidate
from compress.techniques.family_member.config import FamilyMember
from compress.techniques.registry import BY_NAME, TechniqueConfig
from compress.techniques.rules import canonical
from compress.techniques.training.distillation.config import Distillation
from compress.values.knobs import Scalar, Searchable
from featherweight.specs.job import JobSpec
from search.errors import CandidateDoesNotFit
from search.space import grid, input_checks, validation
from search.space.knobs import Domain, Knob
from search.space.problem import Problem
from search.space.space import Space, check_fit
from store.trials.candidates import ProposedCandidate

_NEAR = 1e-9
_MOST_NAMED = 12


def of_params(space: Space, params: Mapping[str, Scalar]) -> ProposedCandidate:
    """Make the candidate of these values of the knobs.

    Every turning knob needs a value, and a fixed knob may be given its own. Raises
    CandidateDoesNotFit, or the error that makes the values impossible together.
    """
    by_name = {knob.name: knob for knob in space.knobs}
    unknown = sorted(set(params) - set(by_name))
    if unknown:
        raise CandidateDoesNotFit(
            f"the space has no knob {unknown[0]!r}; it has {_listed(by_name)}"
        )
    missing = [knob.name for knob in space.turning if knob.name not in params]
    if missing:
        raise CandidateDoesNotFit(f"give a value for {_listed(missing)} too")
    accepted = {name: _accepted(by_name[name], value) for name, value in params.items()}
    turning = {knob.name: accepted[knob.name] for knob in space.turning}
    return ProposedCandidate(candidate=_something(space.candidate(turning)), params=turning)


def of_steps(problem: Problem, steps: tuple[TechniqueConfig, ...]) -> ProposedCandidate:
    """Make the candidate of these steps, with values of knobs if the space contains it.

    A field that a step leaves out takes the job's value if the job fixes it.

    Raises CandidateDoesNotFit, TechniqueDoesNotFit or ImagesTooSmall, which name what does not fit.
    """
    spec, space = problem.spec, problem.space
    completed = tuple(_completed(space, step) for step in steps)
    candidate = Candidate(steps=completed).canonical()
    for step in candidate.configs:
        if step.technique not in spec.techniques:
            raise CandidateDoesNotFit(
                f"{step.technique} is not among the job's techniques {sorted(spec.techniques)}: "
                "leave the step out, or clone the job with it"
            )
    validation.check_pairs([step.technique for step in candidate.configs])
    _check_network(space, candidate)
    _check_given(spec, candidate)
    _check_images(problem, candidate)
    changing = tuple(step for step in candidate.configs if not _is_whole(space, step))
    return placed(space, _something(Candidate(steps=changing).canonical()))


def placed(space: Space, candidate: Candidate) -> ProposedCandidate:
    """Add the values of the knobs that make the candidate, if there are any.

    There are none if knobs allocate by a profile: many of their values make the same candidate, or
    none does.
    """
    if space.allocation is not None:
        return ProposedCandidate(candidate=candidate, params=None)
    params = nearest(space, candidate)
    is_there = space.candidate(params).digest() == candidate.digest()
    return ProposedCandidate(candidate=candidate, params=params if is_there else None)


def nearest(space: Space, candidate: Candidate) -> dict[str, Scalar]:
    """Return the value of every turning knob that is nearest to the candidate's.

    A technique that is not a step of the candidate is disabled as far as the knobs allow.
    """
    steps = {step.technique: step for step in candidate.canonical().configs}
    return {knob.name: _nearest(knob, steps) for knob in space.turning}


def values(candidate: Candidate) -> dict[str, Any]:
    """Return every value that is not the default, by ``technique.field`` or its numbered parts."""
    found: dict[str, Any] = {}
    for technique, field, value in changed(candidate):
        name = f"{technique}.{field}"
        found |= _numbered(name, value) if isinstance(value, tuple) else {name: value}
    return found


def changed(candidate: Candidate) -> Iterator[tuple[str, str, Any]]:
    """Yield the technique, field and value of everything that is not at its default."""
    for step in candidate.canonical().configs:
        for field, value in step:
            if field != "technique" and value != canonical.default(f"{step.technique}.{field}"):
                yield step.technique, field, value


def _numbered(name: str, parts: tuple[Any, ...]) -> dict[str, Any]:
    return {f"{name}.{index}": part for index, part in enumerate(parts)}


def _completed(space: Space, step: TechniqueConfig) -> TechniqueConfig:
    """Complete the step by the job's values of fixed fields that were not given."""
    given = {field: value for field, value in step if field in step.model_fields_set}
    names = {f"{step.technique}.{field}": field for field in type(step).model_fields}
    fixed = {
        names[knob.name]: knob.choices[0]
        for knob in space.knobs
        if knob.kind == "fixed" and knob.name in names
    }
    return type(step).model_validate(fixed | given)


def _is_whole(space: Space, step: TechniqueConfig) -> bool:
    """Return whether the step takes the whole network with its own weights."""
    if not isinstance(step, FamilyMember) or step.weights != "inherited":
        return False
    whole = space.outline.elastic
    return whole is not None and whole.is_whole(step.shape)


def _something(candidate: Candidate) -> Candidate:
    if not candidate.canonical().configs:
        raise CandidateDoesNotFit(
            "it leaves the network as it is, and that is the baseline, trial 0: change something"
        )
    return candidate


def _accepted(knob: Knob, value: Scalar) -> Scalar:
    """Return the value of the knob that was meant. Raises CandidateDoesNotFit for others."""
    if knob.choices:
        for choice in knob.choices:
            if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                return choice
        raise CandidateDoesNotFit(f"{knob.name} is one of {list(knob.choices)}, got {value!r}")
    low, high = grid.bounds(knob)
    if isinstance(value, bool | str) or not low - _NEAR <= value <= high + _NEAR:
        raise CandidateDoesNotFit(f"{knob.name} is within {low:g} and {high:g}, got {value!r}")
    snapped = grid.snap(knob, value)
    if abs(float(snapped) - value) > _NEAR:
        raise CandidateDoesNotFit(
            f"{knob.name} goes from {low:g} in steps of {knob.step:g}, got {value!r}; the nearest "
            f"is {snapped!r}"
        )
    return snapped


def _nearest(knob: Knob, steps: Mapping[str, TechniqueConfig]) -> Scalar:
    technique, field = knob.technique, knob.field
    if technique in steps:
        wish = getattr(steps[technique], field)
    else:
        wish = canonical.disabled(f"{technique}.{field}")
    if isinstance(wish, tuple):
        index = knob.part or 0
        wish = (
            wish[index]
            if index < len(wish)
            else BY_NAME[technique].disabled.get(field, PydanticUndefined)
        )
    return validation.values(knob)[0] if wish is PydanticUndefined else grid.snap(knob, wish)


def _check_network(space: Space, candidate: Candidate) -> None:
    """Raise if the network lacks a stage, edge, layer or dimension that a step names."""
    knobs = [knob for step in candidate.configs for knob in _as_knobs(space, step)]
    for knob in knobs:
        check_fit(knob, space.outline)
    validation.check_patterns(knobs, space.outline)
    validation.check_paths(knobs, space.outline)


def _as_knobs(space: Space, step: TechniqueConfig) -> Iterator[Knob]:
    """Yield the step's fields that are not at their defaults, as fixed knobs."""
    for field, value in step:
        name = f"{step.technique}.{field}"
        if field == "technique" or value == canonical.default(name):
            continue
        per = _per(BY_NAME[step.technique].config, field)
        if not isinstance(value, tuple):
            yield _fixed(step.technique, field, value)
            continue
        _check_parts(space, name, value, per)
        for part, one in enumerate(value):
            yield _fixed(step.technique, field, one, part=part)


def _fixed(technique: str, field: str, value: Scalar, *, part: int | None = None) -> Knob:
    return Knob(technique=technique, field=field, part=part, domain=Domain.of_choices((value,)))


def _check_parts(space: Space, name: str, parts: tuple[Any, ...], per: str | None) -> None:
    whole = space.outline.elastic
    operations = () if whole is None else whole.operations
    expected = len(operations) if per == "edge" else len(space.outline.blocks)
    if len(parts) != expected:
        raise CandidateDoesNotFit(
            f"{name} has {len(parts)} values, and the network has {expected} {per}s: give one each"
        )
    if per != "edge":
        return
    for index, (part, allowed) in enumerate(zip(parts, operations, strict=True)):
        if part not in allowed:
            raise CandidateDoesNotFit(f"{name}.{index} is one of {list(allowed)}, got {part!r}")


def _per(config: type[BaseModel], field: str) -> str | None:
    metadata = config.model_fields[field].metadata
    return next((entry.per for entry in metadata if isinstance(entry, Searchable)), None)


def _check_given(spec: JobSpec, candidate: Candidate) -> None:
    """Raise CandidateDoesNotFit if the job lacks the teacher or the weights that a step needs."""
    for step in candidate.configs:
        match step:
            case Distillation(teacher="uploaded") if spec.teacher is None:
                raise CandidateDoesNotFit(
                    "distillation.teacher is 'uploaded', and the job names no teacher"
                )
            case FamilyMember(weights="supernet") if spec.supernet is None:
                raise CandidateDoesNotFit(
                    "family_member.weights is 'supernet', and the job has no supernet"
                )
            case FamilyMember(weights="inherited") if spec.student is not None:
                raise CandidateDoesNotFit(
                    "family_member.weights is 'inherited', and the model's weights are of another "
                    "network than the job's student: use 'fresh' or 'supernet'"
                )
            case _:
                pass


def _check_images(problem: Problem, candidate: Candidate) -> None:
    if candidate.network is not None:
        input_checks.check_member(problem, candidate.network.shape, where="family_member")


def _listed(names: Any) -> str:
    found = sorted(names)
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return ", ".join(found[:_MOST_NAMED]) + more
