"""What a job asks for, held against the tables of ``compress`` and the layers of its network.

What can never be done is refused with the way out; a knob that can never matter is taken out of
the sampler's hands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from compress.network.families import layout
from compress.network.families.catalog import Architecture, plan_of
from compress.network.member import Shape
from compress.techniques.description import conditions
from compress.techniques.description.conditions import ValuesOf
from compress.techniques.description.rules import Applies, Refused, Relation
from compress.techniques.registry import BY_NAME
from compress.techniques.rules import canonical
from compress.techniques.rules.compatibility import RELATIONS, conflict
from compress.techniques.rules.conditional_fields import APPLIES, REFUSED
from compress.values import patterns
from compress.values.errors import InvalidCandidate
from compress.values.knobs import Scalar
from featherweight.specs.schemas import KnobSchema
from search.errors import InvalidSpace, TechniqueDoesNotFit
from search.space import grid


def check_pairs(techniques: Sequence[str], relations: Sequence[Relation] = RELATIONS) -> None:
    """Raises TechniqueDoesNotFit for two techniques that exclude each other."""
    found = conflict(techniques, relations)
    if found is not None:
        raise TechniqueDoesNotFit(
            f"{found.first} and {found.second} exclude each other: {found.why} Leave one of them "
            "out, or give each a job of its own"
        )


def check_values(knobs: Sequence[KnobSchema]) -> None:
    """Raises for a value that was asked for and that no other value in the job lets stand.

    InvalidSpace within one technique, TechniqueDoesNotFit between two. Where only some combinations
    are refused, the later field gives way in those
    (``compress.techniques.rules.canonical.accepted``).
    """
    find = values_of(knobs)
    for refused in REFUSED:
        if refused.value.field in {_field(knob) for knob in knobs}:
            _check_value(refused, find)


def check_counted(knobs: Sequence[KnobSchema], asked: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises InvalidSpace for a field that was asked for and whose own technique makes idle.

    ``asked`` holds the fields that the user named, by technique: what they say would be dropped in
    silence. Where another technique decides, both may be listed; a default may stand anywhere.
    """
    find = values_of(knobs)
    for rule in APPLIES:
        technique, _, field = rule.field.partition(".")
        within = {part.technique for parts in rule.when for part in parts} == {technique}
        if not within or field not in asked.get(technique, ()) or not _is_idle(rule, find):
            continue
        idle = (canonical.default(rule.field), canonical.inactive_default(rule.field))
        if any(value not in idle for value in find(rule.field)):
            raise InvalidSpace(
                f"{rule.field} counts for nothing in this job: it counts where "
                f"{conditions.words(rule.when, beside=technique).replace('`', '')}. Change that, "
                f"or leave {field} out"
            )


def check_patterns(knobs: Sequence[KnobSchema], architecture: Architecture) -> None:
    """Raises TechniqueDoesNotFit for a pattern that matches no layer of the network."""
    for knob in knobs:
        technique, field = knob.name.split(".")[:2]
        if field in patterns.FIELDS:
            names = layer_names(architecture, technique=technique)
            for text in knob.choices:
                _check_pattern(str(text), names, knob.name)


def layer_names(architecture: Architecture, *, technique: str) -> list[str]:
    """The layers that a technique's patterns can name; a pad shortcut only has channels.

    A BatchNorm by itself is no layer to name.
    """
    rows = layout.layers(architecture, in_channels=1, num_classes=1)
    named = {"conv", "linear"} | ({"pad"} if technique == "filter_pruning" else set())
    return [row.name for row in rows if row.kind in named]


def parts(
    knob: KnobSchema, per: Literal["stage", "edge"] | None, architecture: Architecture
) -> tuple[KnobSchema, ...] | None:
    """One knob per stage or per edge; None for a knob that is one for the whole network.

    An edge gets those of the operations that it has, the most costly first. Raises
    TechniqueDoesNotFit for an edge that has none of them.
    """
    match per:
        case None:
            return None
        case "stage":
            stages = range(architecture.num_stages)
            return tuple(_named(knob, f"{knob.name}.{stage}") for stage in stages)
        case "edge":
            return tuple(
                _of_edge(knob, edge, allowed)
                for edge, allowed in enumerate(architecture.operations)
            )


def per_edge(knobs: Sequence[KnobSchema]) -> tuple[tuple[str, ...], ...]:
    """What every edge of a cell may have; empty where the search leaves the cell as it is."""
    edges = (knob for knob in knobs if _field(knob) == "family_member.cell")
    return tuple(tuple(str(name) for name in knob.choices) for knob in edges)


def check_paths(knobs: Sequence[KnobSchema], architecture: Architecture) -> None:
    """Raises TechniqueDoesNotFit where every candidate answers alike whatever the image."""
    fullest = architecture.member(Shape(cell=tuple(names[0] for names in per_edge(knobs))))
    if plan_of(fullest, in_channels=1, num_classes=2).is_constant:
        raise TechniqueDoesNotFit(
            f"no path leads through a cell of {list(fullest.least(()))}, the fullest of the job: "
            "its answers are alike whatever the image. Let edges from its input to its output have "
            "operations other than 'none'"
        )


def at_rest(knobs: Sequence[KnobSchema]) -> tuple[KnobSchema, ...]:
    """The knobs, those fixed that count for nothing whatever the others say."""
    found = list(knobs)
    for technique in _off(found):
        found = [_rested(knob) if knob.name.startswith(f"{technique}.") else knob for knob in found]
    for rule in APPLIES:
        if _is_idle(rule, values_of(found)):
            found = [_rested(knob) if _is_of(rule.field, knob) else knob for knob in found]
    return tuple(found)


def values(knob: KnobSchema) -> Sequence[Scalar]:
    """Every value of a knob; of a real one the two ends."""
    return grid.values(knob) if math.isfinite(grid.size(knob)) else grid.bounds(knob)


def values_of(knobs: Sequence[KnobSchema]) -> ValuesOf:
    """What each ``technique.field`` may be: its knobs' values, its default, or off where absent."""
    by_field: dict[str, list[Scalar]] = {}
    for knob in knobs:
        by_field.setdefault(_field(knob), []).extend(values(knob))
    listed = {knob.name.split(".")[0] for knob in knobs}

    def find(field: str) -> Sequence[Any]:
        if field in by_field:
            return by_field[field]
        is_listed = field.split(".")[0] in listed
        return [canonical.default(field) if is_listed else canonical.disabled(field)]

    return find


def _named(knob: KnobSchema, name: str) -> KnobSchema:
    return knob.model_copy(update={"name": name})


def _of_edge(knob: KnobSchema, edge: int, allowed: Sequence[str]) -> KnobSchema:
    choices = tuple(name for name in allowed if name in knob.choices)
    if not choices:
        raise TechniqueDoesNotFit(
            f"{knob.name} lists {list(knob.choices)}, and edge {edge} of the network's cell has "
            f"only {list(allowed)}: list one of these too, or start from a cell with 'all' there"
        )
    kind = "fixed" if len(choices) == 1 else "categorical"
    return KnobSchema(name=f"{knob.name}.{edge}", kind=kind, choices=choices)


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


def _off(knobs: Sequence[KnobSchema]) -> Iterator[str]:
    """Techniques that do nothing in the whole space."""
    find: Callable[[str], Sequence[Any]] = values_of(knobs)
    for technique in {knob.name.split(".")[0] for knob in knobs}:
        off: Mapping[str, Scalar] = BY_NAME[technique].disabled
        if off and all(set(find(f"{technique}.{field}")) <= {off[field]} for field in off):
            yield technique


def _is_idle(rule: Applies, find: ValuesOf) -> bool:
    return not rule.values and not conditions.may_hold(rule.when, find)


def _is_of(field: str, knob: KnobSchema) -> bool:
    """Whether the field is the knob's, or the technique all of whose knobs are meant."""
    return field in (_field(knob), knob.name.split(".")[0])


def _rested(knob: KnobSchema) -> KnobSchema:
    """Fixed at what the field counts as where it does not count, if a knob can say that."""
    if knob.kind == "fixed":
        return knob
    resting = canonical.inactive_default(_field(knob))
    value = resting if isinstance(resting, bool | int | float | str) else values(knob)[0]
    return KnobSchema(name=knob.name, kind="fixed", choices=(value,))


def _field(knob: KnobSchema) -> str:
    return ".".join(knob.name.split(".")[:2])
