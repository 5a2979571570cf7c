"""The canonical form of a candidate: whatever has no effect is at its first default.

The rules are those of ``compress.techniques.rules.conditional_fields``. A candidate's digest is
that of this form, so a new rule gives two candidates one digest: it must be true of every network.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic.fields import FieldInfo

from compress.techniques.description import conditions
from compress.techniques.description.rules import Applies, Refused
from compress.techniques.registry import BY_NAME, ORDER
from compress.techniques.rules.conditional_fields import APPLIES, REFUSED
from compress.values.knobs import first_default

Values = Mapping[str, Mapping[str, Any]]
"""Technique to field to value; a field that is missing has its default."""
Settled = dict[str, dict[str, Any]]


def without_inactive(values: Values) -> Settled:
    """Set everything without effect to its first default, in the order of the catalog."""
    found = {name: dict(values[name]) for name in sorted(values, key=ORDER.__getitem__)}
    for rule in _rules_of(frozenset(found)):
        if _is_idle(rule, found):
            _reset_(rule, found)
    return found


def accepted(values: Values) -> Settled:
    """Return the nearest combination that every config accepts, without what has no effect.

    Every value must be one that its config accepts alone. If two exclude each other, the later
    field gives way (``compress.techniques.rules.conditional_fields.REFUSED``).
    """
    found = without_inactive(values)
    for refused in REFUSED:
        if _is_refused(refused, found):
            technique, field = refused.value.field.split(".")
            found[technique][field] = refused.instead
    return without_inactive(found)


def disabled(field: str) -> Any:
    """Return the value of ``technique.field`` if the technique is absent."""
    technique, name = field.split(".")
    return BY_NAME[technique].disabled.get(name, default(field))


@cache
def default(field: str) -> Any:
    """Return the default of ``technique.field``."""
    return _info(field).get_default(call_default_factory=True)


@cache
def inactive_default(field: str) -> Any:
    """Return the value of ``technique.field`` in the canonical form if it has no effect.

    It is the first default, so that digests stay the same when a default changes.
    """
    return first_default(_info(field))


def _info(field: str) -> FieldInfo:
    technique, name = field.split(".")
    return BY_NAME[technique].config.model_fields[name]


def _is_idle(rule: Applies, found: Settled) -> bool:
    if rule.technique not in found:
        return False
    if rule.field == rule.technique:
        return not conditions.holds(rule.when, lambda name: _value(found, name))
    value = _value(found, rule.field)
    if value == inactive_default(rule.field) or (rule.values and value not in rule.values):
        return False
    return not conditions.holds(rule.when, lambda name: _value(found, name))


def _is_refused(refused: Refused, found: Settled) -> bool:
    if refused.value.technique not in found:
        return False
    asked = refused.value.holds(_value(found, refused.value.field))
    return asked and conditions.holds(refused.beside, lambda name: _value(found, name))


def _reset_(rule: Applies, found: Settled) -> None:
    technique, _, field = rule.field.partition(".")
    if field:
        found[technique][field] = inactive_default(rule.field)
    else:
        del found[technique]


def _value(found: Settled, field: str) -> Any:
    technique, name = field.split(".")
    if technique not in found:
        return disabled(field)
    fields = found[technique]
    return fields[name] if name in fields else default(field)


@cache
def _rules_of(techniques: frozenset[str]) -> tuple[Applies, ...]:
    return tuple(rule for rule in APPLIES if rule.technique in techniques)
