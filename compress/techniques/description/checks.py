"""Check all techniques together: whatever their rules name must exist."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from compress.techniques.description.conditions import Condition
from compress.techniques.description.technique import IncompleteTechnique, Technique


def check(techniques: Sequence[Technique]) -> None:
    """Check what techniques say about each other.

    Raises IncompleteTechnique for two techniques with one name, for a rule about a field that no
    config has, and for a relation to anything but an earlier technique.
    """
    names = [technique.name for technique in techniques]
    if len(set(names)) < len(names):
        raise IncompleteTechnique(f"two techniques have one name: {names}")
    fields = {f"{each.name}.{field}" for each in techniques for field in each.config.model_fields}
    for rank, technique in enumerate(techniques):
        unknown = [each for each in _named(technique) if each[1] not in fields.union(names)]
        for part, name in (*unknown, *_unordered(technique, names[:rank])):
            raise IncompleteTechnique(
                f"technique {technique.name!r}: {part} name {name!r}, which is not there"
            )


def _named(technique: Technique) -> Iterator[tuple[str, str]]:
    """Yield every ``technique.field`` that the technique's rules name, with the rule's kind."""
    for rule in technique.conditions:
        yield "conditions", rule.field
        yield from (("conditions", name) for name in _read(rule.when))
    for refused in technique.refused:
        yield "refused", refused.value.field
        yield from (("refused", name) for name in _read(refused.beside))
    for relation in technique.exceptions:
        yield from (("exceptions", f"{relation.second}.{field}") for field in relation.fields)
        yield from (("exceptions", name) for name in _read(relation.unless))


def _unordered(technique: Technique, before: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield relations that are not between an earlier technique and this one."""
    for relation in technique.exceptions:
        if relation.first not in before or relation.second != technique.name:
            yield "exceptions", f"{relation.first} before {relation.second}"
    yield from (("composes", name) for name in technique.composes if name not in before)


def _read(condition: Condition) -> Iterator[str]:
    return (part.field for parts in condition for part in parts)
