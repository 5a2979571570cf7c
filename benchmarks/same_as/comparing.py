"""Two snapshots side by side: how much is equal, and where each topic first differs."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.same_as.api import Json
from benchmarks.same_as.expected import EXPECTED, Expected
from benchmarks.same_as.snapshot import Documents, Snapshot

_WIDTH = 100
_MISSING = "<nothing>"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value that is not the same; ``reason`` says why that was expected, if it was."""

    path: str
    old: Json
    new: Json
    reason: str | None

    def __str__(self) -> str:
        """The place and both values, cut short."""
        return f"{self.path}: {_short(self.old)} -> {_short(self.new)}"


@dataclass(frozen=True, kw_only=True)
class Topic:
    """All documents of one topic."""

    name: str
    documents: int
    equal: int
    differences: tuple[Difference, ...]

    @property
    def unexpected(self) -> list[Difference]:
        """Differences that nobody expected."""
        return [found for found in self.differences if found.reason is None]


def compare(old: Snapshot, new: Snapshot, expected: Sequence[Expected] = EXPECTED) -> list[Topic]:
    """Every topic of the two snapshots."""
    names = dict.fromkeys([*old, *new])
    return [_topic(name, old.get(name, {}), new.get(name, {}), expected) for name in names]


def report(topics: Sequence[Topic]) -> str:
    """A table: what, how much is equal, and the first difference."""
    width = max(len(topic.name) for topic in topics)
    lines = [f"{'what':{width}}  equal      first difference"]
    for topic in topics:
        shown = [*topic.unexpected, *topic.differences][:1]
        said = "".join(f"{_mark(found)}{found}" for found in shown)
        lines.append(f"{topic.name:{width}}  {topic.equal:4d}/{topic.documents:4d}  {said}")
    return "\n".join(lines)


def is_same(topics: Sequence[Topic]) -> bool:
    """Whether nothing differs but what was expected."""
    return not any(topic.unexpected for topic in topics)


def write(topics: Sequence[Topic], path: Path) -> None:
    """Keep all differences as JSON."""
    found = {"same": is_same(topics), "topics": [asdict(topic) for topic in topics]}
    path.write_text(json.dumps(found, indent=1) + "\n")


def _topic(name: str, old: Documents, new: Documents, expected: Sequence[Expected]) -> Topic:
    places = dict.fromkeys([*old, *new])
    found = {place: list(differences(_at(old, place), _at(new, place), place)) for place in places}
    return Topic(
        name=name,
        documents=len(places),
        equal=sum(not pairs for pairs in found.values()),
        differences=tuple(
            Difference(path=path, old=a, new=b, reason=_reason(f"{name}: {path}", expected))
            for pairs in found.values()
            for path, a, b in pairs
        ),
    )


def differences(old: Json, new: Json, path: str) -> Iterator[tuple[str, Json, Json]]:
    """Path and both values of everything that is not the same."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from differences(_at(old, key), _at(new, key), f"{path}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from differences(a, b, f"{path}[{place}]")
    elif old != new or type(old) is not type(new):
        yield path, old, new


def lost(old: Json, new: Json, path: str) -> Iterator[tuple[str, Json, Json]]:
    """What was told and is told otherwise; what is new beside it is no loss."""
    return (found for found in differences(old, new, path) if found[1] != _MISSING)


def _at(document: Documents, key: str) -> Json:
    return document.get(key, _MISSING)


def _reason(place: str, expected: Sequence[Expected]) -> str | None:
    found = (each.reason for each in expected if fnmatch.fnmatchcase(place, each.place))
    return next(found, None)


def _mark(difference: Difference) -> str:
    return "" if difference.reason is None else f"(expected: {difference.reason}) "


def _short(value: Json) -> str:
    text = json.dumps(value) if value != _MISSING else _MISSING
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."
