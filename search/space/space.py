"""The search space of a job: a knob for each field that may be varied, from the configs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from compress.network.member import Dimension
from compress.network.outline import ElasticNetwork, Outline
from compress.sensitivity.document import ProfileDocument
from compress.targets import registry as targets
from compress.targets.target import Target
from compress.techniques import registry
from compress.techniques.candidate import Candidate
from compress.techniques.family_member.config import FamilyMember
from compress.techniques.rules import canonical, compatibility
from compress.values.knobs import Choice, Interval, Scalar, Searchable
from featherweight.specs.job import JobSpec
from search.errors import InvalidSpace, TechniqueDoesNotFit
from search.space import controls, grid, validation
from search.space.allocation_knobs import ALLOCATION, Allocation, check_profile, profiled
from search.space.knobs import Domain, Knob

MOST_GRID_VALUES = 100_000
"""A finer grid is refused; a range without a step means the same."""
_MOST_ENUMERATED = 5_000
_MOST_TRIED = 64
_DOWNLOAD = "download_bytes"
"""What zstd makes of a file, in any form: few bits take few bytes."""
_MEMBER = "family_member"
"""A candidate's choice of network, which depends on what members its network has."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """All candidates that a job may try. Equal specs and outlines give equal spaces."""

    knobs: tuple[Knob, ...]
    techniques: tuple[str, ...]
    outline: Outline
    seed: int
    allocation: Allocation | None = None
    """The meaning of the knobs that allocate by a profile; None if every knob is a field."""
    profile: ProfileDocument | None = None
    """The sensitivity profile of the job's model, once it is known."""
    target: Target = targets.AS_MADE
    """Where its files must run, which decides what a weight weighs."""
    idle: tuple[str, ...] = ()
    """Which knobs the target has fixed, in words."""

    @property
    def concrete(self) -> tuple[Knob, ...]:
        """The knobs of fields only: allocation knobs are replaced by the knobs they stand for."""
        if self.allocation is None:
            return self.knobs
        of_fields = [knob for knob in self.knobs if knob.technique != ALLOCATION]
        return (*of_fields, *self.allocation.replaced)

    def on(self, profile: ProfileDocument) -> Space:
        """Return the same space with the model's profile, by which its knobs may allocate.

        Raises ProfileDoesNotFit for a profile of another network.
        """
        check_profile(profile, self.outline)
        allotting = self.allocation and self.allocation.on(profile)
        return replace(self, allocation=allotting, profile=profile)

    @property
    def acting(self) -> tuple[str, ...]:
        """The techniques that a job asked for something to do; the target rests some others."""
        resting = {each.knob.partition(".")[0] for each in self.target.idle_knobs if self.idle}
        return tuple(technique for technique in self.techniques if technique not in resting)

    @property
    def turning(self) -> tuple[Knob, ...]:
        """The knobs with more than one value, which a sampler chooses."""
        return tuple(knob for knob in self.knobs if knob.kind != "fixed")

    @cached_property
    def num_candidates(self) -> float:
        """The number of distinct candidates; infinite if a knob is real.

        It is exact if techniques that affect each other's fields have at most 5,000 combinations,
        and an upper bound otherwise.
        """
        if self.allocation is not None:
            return math.inf
        return math.prod(self._num_candidates(group) for group in _linked(self.techniques))

    def candidate(self, params: Mapping[str, Scalar]) -> Candidate:
        """Return the canonical candidate for one value per turning knob.

        Canonical also means that a member as wide and as deep as the network is no step at all,
        that its depth is at most the network's, and that edges of a cell without an effect have no
        operation. If two values are refused together, the later field takes the nearest value that
        is not (``compress.techniques.rules.conditional_fields.REFUSED``).

        Raises InvalidSpace for a missing or unknown knob, or a value that no config accepts, and
        ProfileDoesNotFit if knobs allocate by a profile that is not available yet.
        """
        wanted = {knob.name for knob in self.turning}
        if set(params) != wanted:
            odd = sorted(wanted.symmetric_difference(params))
            raise InvalidSpace(f"expected values for exactly {sorted(wanted)}; check {odd}")
        return self._candidate(self.techniques, params)

    def controls(self, *, num_random: int = 1) -> tuple[tuple[str, dict[str, Scalar]], ...]:
        """Return the names and values of candidates to compare a search with.

        They are distinct and differ from the baseline: uniform ones first, then ``num_random``
        random points of the space.
        """
        found: dict[str, tuple[str, dict[str, Scalar]]] = {}
        chosen = controls.named(
            self.knobs,
            techniques=frozenset(self.techniques),
            seed=self.seed,
            num_random=num_random,
        )
        for name, params in chosen:
            found.setdefault(self.candidate(params).digest(), (name, params))
        found.pop(Candidate().digest(), None)
        return tuple(found.values())

    def _candidate(self, techniques: Sequence[str], params: Mapping[str, Scalar]) -> Candidate:
        asked = {technique: self._fields(technique, params) for technique in techniques}
        for technique, fields in self._allotted(asked, params).items():
            asked[technique] = {**(asked[technique] or {}), **fields}
        values = {technique: fields for technique, fields in asked.items() if fields is not None}
        steps = [{"technique": t, **v} for t, v in canonical.accepted(values).items()]
        return Candidate.model_validate({"steps": steps}).canonical()

    def _allotted(
        self, asked: Mapping[str, dict[str, Any] | None], params: Mapping[str, Scalar]
    ) -> dict[str, dict[str, Any]]:
        """The fields that the allocation decides, by technique, given what was ``asked``."""
        if self.allocation is None:
            return {}
        quantization = asked.get("quantization") or {}
        edges = bool(quantization.get("edges_8bit", canonical.default("quantization.edges_8bit")))
        return self.allocation.fields(params, edges_8bit=edges)

    def _fields(self, technique: str, params: Mapping[str, Scalar]) -> dict[str, Any] | None:
        """The values of the step's fields; None if the step would leave the network as it is."""
        fields: dict[str, Any] = {}
        for knob in self._of(technique):
            value = params[knob.name] if knob.kind != "fixed" else knob.choices[0]
            is_whole = knob.part is None
            fields[knob.field] = value if is_whole else (*fields.get(knob.field, ()), value)
        whole = self.outline.elastic
        return _fitted(fields, whole) if technique == _MEMBER and whole is not None else fields

    def _of(self, technique: str) -> tuple[Knob, ...]:
        return tuple(knob for knob in self.knobs if knob.technique == technique)

    def _num_candidates(self, techniques: Sequence[str]) -> float:
        knobs = tuple(knob for technique in techniques for knob in self._of(technique))
        every = grid.combinations(knobs, limit=_MOST_ENUMERATED)
        if every is None and len(techniques) > 1:
            return math.prod(self._num_candidates((technique,)) for technique in techniques)
        if every is None:
            return math.prod(grid.size(knob) for knob in knobs)
        names = [knob.name for knob in knobs]
        points = (dict(zip(names, row, strict=True)) for row in every)
        return len({self._candidate(techniques, point).digest() for point in points})


def _fitted(fields: dict[str, Any], whole: ElasticNetwork) -> dict[str, Any] | None:
    """Limit a member's fields to what the network has; return None if that is all of it."""
    member = FamilyMember.model_validate(fields)
    if whole.is_whole(member.shape) and member.weights == "inherited":
        return None
    fitted: dict[str, Any] = {
        name: min(getattr(member, name), most) for name, most in _most(whole).items()
    }
    if member.cell:
        # Cells that differ only where nothing reaches the answer are one cell.
        fitted["cell"] = whole.least([(name,) for name in member.cell])
    return {**fields, **fitted}


def _linked(techniques: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Group the techniques so that none affects the fields of one in another group."""
    left = list(techniques)
    while left:
        group = [left.pop(0)]
        for member in group:
            near = [each for each in left if _decides(member, each)]
            group += near
            left = [each for each in left if each not in near]
        yield tuple(sorted(group, key=registry.ORDER.__getitem__))


def _decides(one: str, other: str) -> bool:
    first, second = sorted((one, other), key=registry.ORDER.__getitem__)
    return compatibility.between(first, second).kind == "decides"


def build(spec: JobSpec, outline: Outline) -> Space:
    """Build the space of a job on the network of this outline.

    The searchable fields of a listed technique get their default ranges, and the job may give any
    field another range or a fixed value. A field that holds one value per stage, or per edge of a
    cell, becomes one knob for each. A knob that has no effect whatever the values of the others is
    fixed, and so is one that changes no bytes of the job's target, unless downloads are compared.

    Raises:
        InvalidSpace: a range leaves what the technique's config accepts, or has no effect.
        TechniqueDoesNotFit: a range asks for more than the network has, a pattern matches none of
            its layers, or two techniques exclude each other.
    """
    names = tuple(
        technique.name for technique in registry.TECHNIQUES if technique.name in spec.techniques
    )
    validation.check_pairs(names)
    check_members(names, outline)
    check_words(names, outline)
    asked = [knob for name in names for knob in _knobs(name, spec.ranges[name], outline)]
    validation.check_stages(asked, names, outline)
    validation.check_values(asked)
    validation.check_counted(asked, spec.techniques)
    validation.check_patterns(asked, outline)
    validation.check_paths(asked, outline)
    target = targets.find(spec.target)
    rested, idle = _for_target(spec, target, validation.at_rest(asked))
    knobs, allotted = profiled(spec, rested, outline)
    return Space(
        knobs=knobs,
        techniques=names,
        outline=outline,
        seed=spec.seed,
        allocation=allotted,
        target=target,
        idle=idle,
    )


def _for_target(
    spec: JobSpec, target: Target, knobs: tuple[Knob, ...]
) -> tuple[tuple[Knob, ...], tuple[str, ...]]:
    """Fix the knobs that change no bytes that the job compares, and what has no effect then."""
    if _DOWNLOAD in spec.compared:
        return knobs, ()
    found, idle = validation.for_target(knobs, target)
    return (validation.at_rest(found), idle) if found != knobs else (knobs, idle)


def _knobs(
    technique: str, ranges: Mapping[str, Interval | Choice], outline: Outline
) -> Iterator[Knob]:
    for field, info in registry.BY_NAME[technique].config.model_fields.items():
        searchable = _searchable(info)
        wanted = ranges.get(field) or (
            searchable and _default(technique, field, searchable, outline.elastic)
        )
        if not wanted:
            continue
        domain = _domain(f"{technique}.{field}", info, wanted)
        knob = Knob(technique=technique, field=field, domain=domain)
        check_fit(knob, outline)
        parts = validation.parts(knob, searchable.per if searchable else None, outline)
        _check_limits(knob, technique, field, None if parts is None else len(parts))
        yield from (knob,) if parts is None else parts


def _default(
    technique: str, field: str, searchable: Searchable, whole: ElasticNetwork | None
) -> Interval | Choice | None:
    default = searchable.default
    if technique != _MEMBER or whole is None or not isinstance(default, Choice):
        return default
    if field not in whole.dimensions:
        return None
    most = _most(whole).get(field)
    if most is None:
        return default
    return Choice(choices=tuple(c for c in default.choices if float(c) <= most) or (most,))


def _domain(name: str, info: FieldInfo, wanted: Interval | Choice) -> Domain:
    if isinstance(wanted, Choice):
        return Domain.of_choices(wanted.choices)
    number = _number(info)
    if number is None:
        raise InvalidSpace(f"{name} is not a number: give it a list of choices, not a range")
    return _integer(name, wanted) if number is int else _real(name, wanted)


def _integer(name: str, wanted: Interval) -> Domain:
    step = wanted.step or 1.0
    ends = [wanted.low, wanted.high, step]
    if wanted.log or not all(end.is_integer() for end in ends):
        raise InvalidSpace(f"{name} takes whole numbers: low, high and step {ends} must be whole")
    return _numeric(name, wanted.low, wanted.high, step, int)


def _real(name: str, wanted: Interval) -> Domain:
    if wanted.step is not None:
        return _numeric(name, wanted.low, wanted.high, wanted.step, float)
    if wanted.low == wanted.high:
        return Domain.of_choices((wanted.low,))
    return Domain(kind="float", low=wanted.low, high=wanted.high, log=wanted.log)


def _numeric(name: str, low: float, high: float, step: float, number: type[int | float]) -> Domain:
    if (high - low) / step >= MOST_GRID_VALUES:
        raise InvalidSpace(
            f"{name} has more than {MOST_GRID_VALUES} values with step {step:g}: "
            "use a larger step or none"
        )
    last = grid.last_on_grid(low, high, step)
    if last <= low:
        return Domain.of_choices((number(low),))
    kind = "int" if number is int else "float"
    return Domain(kind=kind, low=low, high=last, step=step)


def _most(whole: ElasticNetwork) -> dict[str, int]:
    """The largest depth and kernel that make a difference."""
    found = {"depth": whole.largest_depth}
    if "kernel" in whole.dimensions:
        found["kernel"] = whole.largest_kernel
    return found


def check_members(techniques: Sequence[str], outline: Outline) -> None:
    """Raise TechniqueDoesNotFit if members are to be tried of a network that has none."""
    if _MEMBER in techniques and outline.elastic is None:
        raise TechniqueDoesNotFit(
            f"{_MEMBER}: only a network of a family has members, and this one is of none: leave "
            f"{_MEMBER} out, or name a student of a family"
        )


def check_words(techniques: Sequence[str], outline: Outline) -> None:
    """Raise TechniqueDoesNotFit if words shall leave a network that has no table."""
    of_words = [name for name in techniques if "words" in registry.BY_NAME[name].acts_on]
    if of_words and not any(layer.kind == "embedding" for layer in outline.layers):
        raise TechniqueDoesNotFit(
            f"{of_words[0]}: the network has no table of words: leave {of_words[0]} out"
        )


def check_fit(knob: Knob, outline: Outline) -> None:
    """Raise TechniqueDoesNotFit for a member that the network does not have."""
    technique, field, whole = knob.technique, knob.field, outline.elastic
    if technique != _MEMBER or whole is None:
        return
    if field in get_args(Dimension) and field not in whole.dimensions:
        raise TechniqueDoesNotFit(
            f"{knob.name}: members of the family {whole.family!r} differ in "
            f"{sorted(whole.dimensions)} and in their resolution; leave {field} out"
        )
    asked = max((v for v in _ends(knob) if isinstance(v, int | float)), default=0)
    most = _most(whole).get(field, math.inf)
    if asked > most:
        what = "blocks, but no stage" if field == "depth" else "rows, but no kernel"
        raise TechniqueDoesNotFit(
            f"{knob.name} asks for {asked:g} {what} of the network has more than {most} "
            f"(blocks per stage: {list(outline.blocks)}): use values of at most {most}"
        )


def _check_limits(knob: Knob, technique: str, field: str, parts: int | None) -> None:
    config = registry.BY_NAME[technique].config
    for value in _tried(knob):
        fields = {
            **_required(config, parts),
            field: value if parts is None else (value,) * parts,
        }
        try:
            config.model_validate(fields, strict=True)
        except ValidationError as error:
            # An error without a location is between fields, and ``validation`` reports those. Of
            # the others the first is the cause, and those after it only follow from it.
            limits = [each["msg"] for each in error.errors() if each["loc"]]
            if limits:
                raise InvalidSpace(
                    f"{technique} does not accept {field} = {value!r}: {limits[0]}. "
                    f"Keep the range of {field} within that limit"
                ) from error


def _required(config: type[BaseModel], parts: int | None) -> dict[str, Any]:
    """Return some valid value for each field without a default."""
    found = {}
    for name, info in config.model_fields.items():
        searchable = _searchable(info)
        if info.is_required() and searchable:
            default = searchable.default
            value = default.low if isinstance(default, Interval) else default.choices[0]
            found[name] = (value,) * (parts or 1) if searchable.per else value
    return found


def _tried(knob: Knob) -> tuple[Scalar, ...]:
    """Every value of a short range of whole numbers, which may have gaps; otherwise the ends."""
    is_short = knob.kind == "int" and grid.size(knob) <= _MOST_TRIED
    return grid.values(knob) if is_short else _ends(knob)


def _ends(knob: Knob) -> tuple[Scalar, ...]:
    if knob.choices:
        return knob.choices
    low, high = grid.bounds(knob)
    return (int(low), int(high)) if knob.kind == "int" else (low, high)


def _searchable(info: FieldInfo) -> Searchable | None:
    return next((entry for entry in info.metadata if isinstance(entry, Searchable)), None)


def _number(info: FieldInfo) -> type[int | float] | None:
    """Return the type of a numeric field, or of its entries; None for other fields."""
    inner = info.annotation
    while get_origin(inner) in (tuple, Annotated):
        inner = get_args(inner)[0]
    if inner is int:
        return int
    return float if inner is float else None
