"""Strict JSON and YAML: one reader for documents sent to the service and for job files.

The result is plain data of bounded size with one meaning. YAML is checked event by event before
anything is built, so that no document costs more than its own bytes: aliases and merge keys, which
multiply, are refused, and so are tags. A key may occur only once in a mapping, in JSON too; no
number is NaN, infinite or longer than 64 bits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Sized
from typing import Any, NoReturn, TypeVar

import yaml

Key = TypeVar("Key", bound=Hashable)
MAX_BYTES = 1024**2
MAX_YAML_BYTES = 64 * 1024
MAX_VALUES = 20_000
"""Most values of a document, YAML keys included; a job has a hundred."""
MAX_VALUES_OF_PROFILES = 100_000
"""Most values of a report with a profile; the largest has 40,000."""
MAX_KEYS = 1000
"""Most keys of one mapping."""
MAX_ENTRIES = 2000
"""Most entries of one list."""
MAX_DEPTH = 50
MAX_WHOLE_NUMBER = 2**63 - 1
MAX_NUMBER_CHARACTERS = 400
"""Of a number; YAML has to look at text without quotes to see that it is none."""
_SHOWN = 80
_MERGE = "<<"
_NO_MARKS = bytes(set(range(256)) - set(b",[]{}"))
# The parser of libyaml is twenty times as fast; packages for some machines come without it.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class InvalidDocument(ValueError):
    """The text is not an acceptable document; the message says what is wrong and where."""


class InvalidValue(InvalidDocument):
    """A value is not acceptable there: a number that is not finite, or too many values."""


def read_json(text: bytes | str, *, most_values: int = MAX_VALUES) -> Any:
    """Return the value of one JSON document. Raises InvalidDocument.

    Brackets and commas are counted before anything is built, so documents that are too long or too
    deep are refused early.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    _check_outline(data, most_values)
    try:
        # Only UTF-8: what was counted as bytes is what is read.
        found = json.loads(
            data.decode("utf-8", "surrogatepass" if isinstance(text, str) else "strict"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError as error:
        raise InvalidDocument("the document is nested too deeply") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidDocument(str(error)) from error
    _check_plain(found)
    return found


def read_yaml(text: bytes | str) -> Any:
    """Return the value of one YAML document; JSON is YAML. Raises InvalidDocument."""
    if len(text) > MAX_YAML_BYTES:
        raise InvalidDocument(f"a YAML document has at most {MAX_YAML_BYTES} bytes: send JSON")
    try:
        _check_events(text)
        found = yaml.load(text, Loader=_Strict)
    except RecursionError as error:
        raise InvalidDocument("the document is nested too deeply") from error
    except InvalidDocument:
        raise
    except (yaml.YAMLError, ValueError, ArithmeticError) as error:
        # For example, a date in a thirteenth month.
        raise InvalidDocument(str(error)) from error
    _check_plain(found)
    return found


def check_storable(document: Any) -> None:
    """Refuse text that not every database can hold: zero characters and lone surrogates.

    Raises ValueError.
    """
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict):
            pending.extend(value.keys())
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ValueError("text must not hold the zero character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError("text must be valid Unicode, found half a surrogate pair") from error


class _Strict(_Parser):
    """Safe YAML in which a key may occur only once and nothing is merged."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build the mapping as the base class does, after checking the keys."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        try:
            _check_keys(keys)
        except (InvalidDocument, TypeError) as error:
            raise InvalidDocument(f"line {node.start_mark.line + 1}: {error}") from error
        return super().construct_mapping(node, deep=deep)


def _check_events(text: bytes | str) -> None:
    depth = values = 0
    for event in yaml.parse(text, Loader=_Parser):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise InvalidDocument(
                f"line {line}: aliases (*{str(event.anchor)[:_SHOWN]}) are not read"
            )
        if isinstance(event, yaml.NodeEvent):
            values += 1
            _check_node(event, line)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        _check_counts(depth, values, MAX_VALUES)


def _check_node(event: yaml.NodeEvent, line: int) -> None:
    """Refuse tags, merge keys, and plain text that may be a number and is too long for one."""
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise InvalidDocument(
            f"line {line}: could not determine a constructor for {str(tag)[:_SHOWN]!r}: tags are "
            "not read"
        )
    if not isinstance(event, yaml.ScalarEvent) or not event.implicit[0]:
        return
    if event.value == _MERGE:
        raise InvalidDocument(f"line {line}: merge keys ({_MERGE}) are not read")
    if len(event.value) > MAX_NUMBER_CHARACTERS and event.value[0] in "-+.0123456789":
        raise InvalidDocument(
            f"line {line}: {event.value[:40]} is too long for a number; put text into quotes"
        )


def _check_outline(data: bytes, most_values: int) -> None:
    """Refuse too many or too deeply nested values, without building them.

    Characters within strings count too: this is an upper bound of the content, which only strings
    full of brackets and commas exceed.
    """
    if len(data) > MAX_BYTES:
        raise InvalidDocument(f"a JSON document has at most {MAX_BYTES} bytes")
    commas, opened = data.count(b","), data.count(b"[") + data.count(b"{")
    if commas + opened > most_values or opened > MAX_DEPTH:
        marks = _marks(data)
        values = sum(marks.count(mark) for mark in (b",", b"[", b"{"))
        _check_counts(0, values, most_values)
        _check_counts(_depth(marks), 0, most_values)


def _marks(data: bytes) -> bytes:
    """Return commas and brackets outside strings, in order."""
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(unescaped.split(b'"')[::2]).translate(None, _NO_MARKS)


def _depth(marks: bytes) -> int:
    depth = deepest = 0
    for mark in marks:
        if mark in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in b"]}":
            depth -= 1
    return deepest


def _check_counts(depth: int, values: int, most_values: int) -> None:
    if values > most_values or depth > MAX_DEPTH:
        raise InvalidDocument(f"more than {most_values} values or {MAX_DEPTH} levels")


def _check_plain(document: Any) -> None:
    """Refuse numbers that JSON does not have, and lists and mappings that are too long."""
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            _check_length(value, MAX_KEYS, "fields of one mapping")
            pending.extend(value.values())
        elif isinstance(value, list):
            _check_length(value, MAX_ENTRIES, "entries of one list")
            pending.extend(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise InvalidValue(f"{value} is not JSON: every number must be finite")
        elif isinstance(value, int) and abs(value) > MAX_WHOLE_NUMBER:
            raise InvalidValue("a whole number is too large: they have at most 64 bits")


def _check_length(value: Sized, most: int, what: str) -> None:
    if len(value) > most:
        raise InvalidValue(f"more than {most} {what}: {len(value)}")


def _check_keys(keys: list[Any]) -> None:
    seen: set[Any] = set()
    for key in keys:
        if key in seen:
            raise InvalidDocument(f"{str(key)[:_SHOWN]!r} stands twice")
        seen.add(key)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _check_length(pairs, MAX_KEYS, "fields of one mapping")
    found = dict(pairs)
    if len(found) < len(pairs):
        _check_keys([key for key, _ in pairs])
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidDocument(f"{name} is not JSON: every number must be finite")


def _finite(text: str) -> float:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise InvalidDocument(f"{text[:40]} is too long for a number")
    value = float(text)
    if not math.isfinite(value):
        raise InvalidDocument(f"{text[:40]} is too large: every number must be finite")
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > MAX_WHOLE_NUMBER:
        raise InvalidDocument(f"{text[:40]} is too large: whole numbers have at most 64 bits")
    return int(text)
