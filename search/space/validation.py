"""Check what a job asks for against the techniques' rules and the layers of its network.

What can never be done is refused with a way out. A knob that can never have an effect is fixed, so
that no sampler spends trials on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal

from pydantic import ValidationError

from compress.network.member import Shape
from compress.network.outline import Outline
from compress.targets.target import IdleKnob, Target
from compress.techniques.description import conditions
from compress.techniques.description.conditions import ValuesOf
from compress.techniques.description.rules import Applies, Refused, Relation
from compress.techniques.registry import BY_NAME
from compress.techniques.rules import canonical
from compress.techniques.rules.compatibility import RELATIONS, conflict
from compress.techniques.rules.conditional_fields import APPLIES, REFUSED
from compress.values import patterns
from compress.values.errors import InvalidCandidate
from compress.values.knobs import Scalar, Searchable
from search.errors import InvalidSpace, TechniqueDoesNotFit
from search.space import grid
from search.space.knobs import Domain, Knob

_MOST_COMBINED = 5_000
_MOST_BITS = 8
Per = Literal["stage", "edge"]
"""The parts of a network, if a field holds one value for each of them."""


def check_pairs(techniques: Sequence[str], relations: Sequence[Relation] = RELATIONS) -> None:
    """Raise TechniqueDoesNotFit for two techniques that exclude each other."""
    found = conflict(techniques, relations)
    if found is not None:
        raise TechniqueDoesNotFit(
            f"{found.first} and {found.second} exclude each other: {found.why} Leave one of them "
            "out, or give each a job of its own"
        )


def check_values(knobs: Sequence[Knob]) -> None:
    """Raise if a value that was asked for is refused with all values of the other fields.

    The error is InvalidSpace within one technique and TechniqueDoesNotFit between two. If only some
    combinations are refused, the later field gives way in those
    (``compress.techniques.rules.canonical.accepted``).
    """
    find = values_of(knobs)
    for refused in REFUSED:
        if refused.value.field in {knob.path for knob in knobs}:
            _check_value(refused, find)


def check_counted(knobs: Sequence[Knob], asked: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise InvalidSpace if a field that was asked for has no effect because of its own technique.

    ``asked`` holds the fields that the user named, by technique; their values would be ignored
    silently. If another technique decides, both may be listed, and a default is always allowed.
    """
    find = values_of(knobs)
    for rule in APPLIES:
        technique, field = rule.technique, rule.field.removeprefix(f"{rule.technique}.")
        within = {part.technique for parts in rule.when for part in parts} == {technique}
        if not within or field not in asked.get(technique, ()) or not _is_idle(rule, find):
            continue
        idle = (canonical.default(rule.field), canonical.inactive_default(rule.field))
        if any(value not in idle for value in find(rule.field)):
            raise InvalidSpace(
                f"{rule.field} has no effect in this job: it is used only if "
                f"{conditions.words(rule.when, beside=technique).replace('`', '')}. Change that, "
                f"or leave {field} out"
            )


def check_stages(knobs: Sequence[Knob], techniques: Sequence[str], outline: Outline) -> None:
    """Raise TechniqueDoesNotFit if a field holds a value per stage of a network without stages.

    A field that has no effect in this job may stay: another one takes its place.
    """
    find = values_of(knobs)
    idle = {rule.field for rule in APPLIES if _is_idle(rule, find)}
    for path in (path for technique in techniques for path in _in_parts(technique, per="stage")):
        if not outline.blocks and path not in idle:
            raise TechniqueDoesNotFit(
                f"{path} holds one value per stage, and this network has no stages: choose values "
                f"of {path.partition('.')[0]} that apply to the whole network"
            )


def check_patterns(knobs: Sequence[Knob], outline: Outline) -> None:
    """Raise TechniqueDoesNotFit for a pattern that matches no layer of the network."""
    for knob in knobs:
        if knob.field in patterns.FIELDS:
            names = layer_names(outline, technique=knob.technique)
            for text in knob.choices:
                _check_pattern(str(text), names, knob.name)


def layer_names(outline: Outline, *, technique: str) -> list[str]:
    """Return the layers that a technique's patterns can name.

    A BatchNorm by itself is none of them. A pad shortcut, which is never trained, is one only for
    techniques that remove channels.
    """
    unnamed = {"norm"} if "channels" in BY_NAME[technique].acts_on else {"norm", "pad"}
    return [layer.name for layer in outline.layers if layer.kind not in unnamed]


def parts(knob: Knob, per: Per | None, outline: Outline) -> tuple[Knob, ...] | None:
    """Return one knob per stage or per edge; None if the knob applies to the whole network.

    An edge keeps the operations that it can have, the most costly first. Raises
    TechniqueDoesNotFit for an edge that can have none of them.
    """
    match per:
        case None:
            return None
        case "stage":
            stages = range(len(outline.blocks))
            return tuple(replace(knob, part=stage) for stage in stages)
        case "edge":
            operations = () if outline.elastic is None else outline.elastic.operations
            return tuple(_of_edge(knob, edge, names) for edge, names in enumerate(operations))


def per_edge(knobs: Sequence[Knob]) -> tuple[tuple[str, ...], ...]:
    """Return the operations of every edge of a cell; empty if the search leaves the cell alone."""
    edges = (knob for knob in knobs if knob.path in _in_parts(knob.technique, per="edge"))
    return tuple(tuple(str(name) for name in knob.choices) for knob in edges)


def check_paths(knobs: Sequence[Knob], outline: Outline) -> None:
    """Raise TechniqueDoesNotFit if every candidate gives the same answer for all images."""
    whole, cell = outline.elastic, tuple(names[0] for names in per_edge(knobs))
    if whole is not None and whole.is_constant(Shape(cell=cell)):
        names = list(whole.least([(name,) for name in cell]))
        raise TechniqueDoesNotFit(
            f"no path leads through a cell of {names}, the fullest of the job: "
            "its answers are alike whatever the image. Let edges from its input to its output have "
            "operations other than 'none'"
        )


def check_effects(knobs: Sequence[Knob], techniques: Sequence[str]) -> None:
    """Raise InvalidSpace for a technique that leaves the network as it is, whatever its values.

    Only new jobs are asked: what is stored goes on. A technique with more combinations than can be
    tried here is taken to have an effect.
    """
    for technique in techniques:
        own = tuple(knob for knob in knobs if knob.technique == technique)
        every = grid.combinations(own, limit=_MOST_COMBINED)
        if every is not None and not any(_has_effect(technique, own, point) for point in every):
            raise InvalidSpace(
                f"{technique} leaves the network as it is in every candidate of this job: "
                f"{_missing(technique, values_of(knobs))}, or leave {technique} out"
            )


def at_rest(knobs: Sequence[Knob]) -> tuple[Knob, ...]:
    """Fix the knobs that have no effect whatever the values of the others."""
    found = list(knobs)
    for technique in _off(found):
        found = [_rested(knob) if knob.technique == technique else knob for knob in found]
    for rule in APPLIES:
        if _is_idle(rule, values_of(found)):
            found = [_rested(knob) if _is_of(rule.field, knob) else knob for knob in found]
    return tuple(found)


def for_target(knobs: Sequence[Knob], target: Target) -> tuple[tuple[Knob, ...], tuple[str, ...]]:
    """Fix the knobs that change no bytes of files for the target; return them, and what was done.

    One whose values leave out the one that it would be fixed at stays as it was asked for.
    """
    idle = {each.knob: each for each in target.idle_knobs}
    found, said = list(knobs), list[str]()
    for place, knob in enumerate(knobs):
        if knob.path not in idle:
            continue
        value, every = _idle_value(knob, idle[knob.path]), values(knob)
        if set(every) == {value}:
            continue
        why = f"of {knob.name} no value saves bytes for the target {target.name}: "
        why += idle[knob.path].why
        if value in every:
            found[place] = replace(knob, domain=Domain.of_choices((value,)))
            why += f". It is fixed at {value!r}"
        said.append(why)
    return tuple(found), tuple(said)


def _idle_value(knob: Knob, idle: IdleKnob) -> Scalar:
    if idle.fixed_at == "off":
        return BY_NAME[knob.technique].disabled[knob.field]
    every = values(knob)
    narrow = [value for value in every if float(value) <= _MOST_BITS]
    return max(narrow or every, key=float)


def values(knob: Knob) -> Sequence[Scalar]:
    """Return every value of a knob; the two ends if it is real."""
    return grid.values(knob) if math.isfinite(grid.size(knob)) else grid.bounds(knob)


def values_of(knobs: Sequence[Knob]) -> ValuesOf:
    """Return a function from ``technique.field`` to the values that the field may take.

    They are those of its knobs, or its default; of a technique that is not listed, those that
    disable it.
    """
    by_field: dict[str, list[Scalar]] = {}
    for knob in knobs:
        by_field.setdefault(knob.path, []).extend(values(knob))
    techniques = {knob.technique for knob in knobs} - {"allocation"}
    listed = {path for technique in techniques for path in _paths(technique)}

    def find(field: str) -> Sequence[Any]:
        if field in by_field:
            return by_field[field]
        return [canonical.default(field) if field in listed else canonical.disabled(field)]

    return find


@cache
def _paths(technique: str) -> frozenset[str]:
    """Every field of a technique, as ``technique.field``."""
    return frozenset(f"{technique}.{field}" for field in BY_NAME[technique].config.model_fields)


@cache
def _in_parts(technique: str, *, per: Per) -> tuple[str, ...]:
    """The fields that hold one value per stage, or per edge of a cell, as ``technique.field``."""
    if technique not in BY_NAME:
        return ()
    return tuple(
        f"{technique}.{name}"
        for name, info in BY_NAME[technique].config.model_fields.items()
        for entry in info.metadata
        if isinstance(entry, Searchable) and entry.per == per
    )


def _has_effect(technique: str, knobs: Sequence[Knob], point: Sequence[Scalar]) -> bool:
    fields: dict[str, Any] = {}
    for knob, value in zip(knobs, point, strict=True):
        fields[knob.field] = value if knob.part is None else (*fields.get(knob.field, ()), value)
    try:
        return BY_NAME[technique].config.model_validate(fields).has_effect
    except ValidationError:
        # A combination that a config refuses becomes another one in the search.
        return True


def _missing(technique: str, find: ValuesOf) -> str:
    """Say which of the fields that decide could be given other values."""
    idle = {rule.field for rule in APPLIES if _is_idle(rule, find)}
    off = {f"{technique}.{field}": value for field, value in BY_NAME[technique].disabled.items()}
    asked = [path for path in off if path not in idle and set(find(path)) <= {off[path]}]
    return "give " + " or ".join(
        f"{path.partition('.')[2]} other values than {off[path]!r}" for path in asked
    )


def _of_edge(knob: Knob, edge: int, allowed: Sequence[str]) -> Knob:
    choices = tuple(name for name in allowed if name in knob.choices)
    if not choices:
        raise TechniqueDoesNotFit(
            f"{knob.name} lists {list(knob.choices)}, and edge {edge} of the network's cell has "
            f"only {list(allowed)}: list one of these too, or start from a cell with 'all' there"
        )
    return replace(knob, part=edge, domain=Domain.of_choices(choices))


def _check_value(refused: Refused, find: ValuesOf) -> None:
    asked = [value for value in find(refused.value.field) if refused.value.holds(value)]
    if not asked or not conditions.must_hold(refused.beside, find):
        return
    beside = " or ".join(sorted({part.field for parts in refused.beside for part in parts}))
    own = {part.technique for parts in refused.beside for part in parts}
    error = InvalidSpace if own == {refused.value.technique} else TechniqueDoesNotFit
    raise error(
        f"{refused.value.field} can never be {asked[-1]!r} in this job, because of {beside}: "
        f"{refused.why}. Way out: {refused.way_out}"
    )


def _check_pattern(text: str, names: Sequence[str], knob: str) -> None:
    try:
        patterns.matching(text, names, technique=knob)
    except InvalidCandidate as error:
        raise TechniqueDoesNotFit(f"{error}. Correct the pattern or leave it out") from error


def _off(knobs: Sequence[Knob]) -> Iterator[str]:
    """Yield the techniques that do nothing in the whole space."""
    find: Callable[[str], Sequence[Any]] = values_of(knobs)
    for technique in {knob.technique for knob in knobs}:
        off: Mapping[str, Scalar] = BY_NAME[technique].disabled
        own = [knob for knob in knobs if knob.technique == technique]
        is_off = all(set(find(f"{technique}.{field}")) <= {off[field]} for field in off)
        if off and is_off and not any(map(_acts_alone, own)):
            yield technique


def _acts_alone(knob: Knob) -> bool:
    """Return whether the knob changes a network while all others of its technique are off."""
    off = {
        f"{knob.technique}.{field}": value
        for field, value in BY_NAME[knob.technique].disabled.items()
    }
    return any(_is_effective(knob.technique, {**off, knob.path: value}) for value in values(knob))


def _is_effective(technique: str, by_path: Mapping[str, Scalar]) -> bool:
    in_parts = (*_in_parts(technique, per="stage"), *_in_parts(technique, per="edge"))
    fields = {
        path.partition(".")[2]: (value,) if path in in_parts else value
        for path, value in by_path.items()
    }
    try:
        return BY_NAME[technique].config.model_validate(fields).has_effect
    except ValidationError:
        # What its config refuses as long as it is off does not switch it on.
        return False


def _is_idle(rule: Applies, find: ValuesOf) -> bool:
    return not rule.values and not conditions.may_hold(rule.when, find)


def _is_of(field: str, knob: Knob) -> bool:
    """Return whether ``field`` is the knob's field, or the name of its technique."""
    return field in (knob.path, knob.technique)


def _rested(knob: Knob) -> Knob:
    """Fix the knob at the value that an idle field counts as, if a knob can hold it."""
    if knob.kind == "fixed":
        return knob
    resting = canonical.inactive_default(knob.path)
    value = resting if isinstance(resting, bool | int | float | str) else values(knob)[0]
    return replace(knob, domain=Domain.of_choices((value,)))
