"""Strict JSON and YAML: one reader for what is sent to the service and what stands in job files.

What is read is plain data of a bounded size, and it means one thing only. YAML is looked through
event by event before anything is built, so that no document costs more than its own bytes: aliases
and merge keys, which multiply, are refused, and so are tags. A key may stand only once in a
mapping, in JSON too; no number is NaN, infinite or longer than 64 bits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from typing import Any, NoReturn, TypeVar

import yaml

Key = TypeVar("Key", bound=Hashable)
MAX_BYTES = 1024**2
MAX_YAML_BYTES = 64 * 1024
MAX_VALUES = 100_000
"""Of a whole document, keys of YAML included; a job has a hundred, the largest profile 40,000."""
MAX_DEPTH = 50
MAX_WHOLE_NUMBER = 2**63 - 1
_SHOWN = 80
_MERGE = "<<"
# The parser of libyaml is twenty times as fast; packages for some machines come without it.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class InvalidDocument(ValueError):
    """The text is no document that may be read; the message says what and where."""


def read_json(text: bytes | str) -> Any:
    """Return the value of one JSON document. Raises InvalidDocument.

    What may be too long or too deep is known before the whole of it is built: brackets and commas
    are counted first.
    """
    _check_outline(text)
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError as error:
        raise InvalidDocument("the document is nested too deeply") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidDocument(str(error)) from error


def read_yaml(text: bytes | str) -> Any:
    """Return the value of one YAML document; JSON is YAML. Raises InvalidDocument."""
    if len(text) > MAX_YAML_BYTES:
        raise InvalidDocument(f"a YAML document has at most {MAX_YAML_BYTES} bytes: send JSON")
    try:
        _check_events(text)
        return yaml.load(text, Loader=_Strict)
    except RecursionError as error:
        raise InvalidDocument("the document is nested too deeply") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidDocument(str(error)) from error


class _Strict(_Parser):
    """Safe YAML in which a key may stand only once and merges nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As the base class does, after a look at the keys."""
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
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.ScalarEvent) and event.value == _MERGE and event.implicit[0]:
            raise InvalidDocument(f"line {line}: merge keys ({_MERGE}) are not read")
        _check_counts(depth, values)


def _check_outline(text: bytes | str) -> None:
    """Refuse what has too many or too deeply nested values, without building it.

    Characters within strings count as well: this is an upper bound of what the document holds,
    which only strings full of brackets and commas exceed.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > MAX_BYTES:
        raise InvalidDocument(f"a JSON document has at most {MAX_BYTES} bytes")
    commas, opened = data.count(b","), data.count(b"[") + data.count(b"{")
    if commas + opened > MAX_VALUES:
        _check_counts(0, _values_outside_strings(data))
    if opened > MAX_DEPTH:
        _check_counts(_depth(data), 0)


def _values_outside_strings(data: bytes) -> int:
    outside = b"".join(data.replace(b'\\"', b"").split(b'"')[::2])
    return sum(outside.count(mark) for mark in (b",", b"[", b"{"))


def _depth(data: bytes) -> int:
    outside = b"".join(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    depth = deepest = 0
    for byte in outside:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _check_counts(depth: int, values: int) -> None:
    if values > MAX_VALUES or depth > MAX_DEPTH:
        raise InvalidDocument(f"more than {MAX_VALUES} values or {MAX_DEPTH} levels")


def _check_keys(keys: list[Any]) -> None:
    seen: set[Any] = set()
    for key in keys:
        if key in seen:
            raise InvalidDocument(f"{str(key)[:_SHOWN]!r} stands twice")
        seen.add(key)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        _check_keys([key for key, _ in pairs])
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidDocument(f"{name} is not JSON: every number must be finite")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidDocument(f"{text[:40]} is too large: every number must be finite")
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > MAX_WHOLE_NUMBER:
        raise InvalidDocument(f"{text[:40]} is too large: whole numbers have at most 64 bits")
    return int(text)
