"""Strict documents: what costs more than its bytes, or means two things, is refused in words."""

from __future__ import annotations

import json
import time

import pytest

from featherweight.documents import InvalidDocument, read_json, read_yaml

MERGES = "a0: &a0 {k: 1}\na1: {<<: *a0}"
INLINE_MERGE = "a: {<<: {k: 1}}"


def bomb(depth: int) -> str:
    lines = ["a0: &a0 {" + ", ".join(f"k{i}: 1" for i in range(9)) + "}"]
    for level in range(1, depth + 1):
        aliases = ",".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {{<<: [{aliases}]}}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(9), "merge keys"),
        (MERGES, "merge keys"),
        (INLINE_MERGE, "merge keys"),
        ("a: &a [*a]", "aliases"),
        ("a: 1\na: 2", "'a' stands twice"),
        ("a: {b: 1, 'b': 2}", "'b' stands twice"),
        ("[" * 60_000, "levels"),
        ("{a: " * 3_000, "levels"),
        ("a:\n" + "".join(" " * i + "- \n" for i in range(80)), "levels"),
        ("[" + "1," * 32_000 + "1]" + " " * 3_000, "at most 65536 bytes"),
        ("? [a, b]\n: c", "unhashable"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: \x00", "unacceptable character"),
        ("a: [1", "expected"),
    ],
)
def test_yaml_that_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidDocument, match=words.replace("[", r"\[")):
        read_yaml(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ('{"a": {"b": 1, "b": 1}}', "'b' stands twice"),
        ("[" * 200_000, "levels"),
        ("[" + "0," * 200_000 + "0]", "values"),
        ("[" + "[]," * 100_000 + "[]]", "values"),
        ("[NaN]", "finite"),
        ("[1e999]", "finite"),
        ("[" + "9" * 30 + "]", "64 bits"),
        ('"' + "x" * 2**20 + '"', "at most 1048576 bytes"),
        ("{", "Expecting"),
        ("{" + ",".join(f'"{i}": 1' for i in range(1001)) + "}", "1000 fields"),
        ("[" + "1," * 2000 + "1]", "2000 entries"),
        ('["' + r"\\" + '",' + "1," * 20_000 + "1]", "values"),
        ("[0." + "1" * 500 + "]", "too long for a number"),
        ('["a"]'.encode("utf-16"), "utf-8"),
    ],
)
def test_json_that_is_refused(text: str | bytes, words: str) -> None:
    with pytest.raises(InvalidDocument, match=words):
        read_json(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: !!set {b}", "tags"),
        ("a: !!python/name:os.system", "tags"),
        ("a: .nan", "finite"),
        ("a: " + "9" * 60_000, "too long for a number"),
        ("a: " + "9" * 300, "64 bits"),
        ("a: 2001-13-41", "month"),
        ("a: 1\n---\nb: 1", "single document"),
        ("[" + "1," * 2000 + "1]", "2000 entries"),
    ],
)
def test_yaml_that_is_refused_alike(text: str, words: str) -> None:
    with pytest.raises(InvalidDocument, match=words):
        read_yaml(text)


def test_strings_full_of_marks_are_text_and_no_structure() -> None:
    document = {"a": "[" * 100_000, "b": ',{"[' * 30_000, "c": "\\" * 1_000}
    assert read_json(json.dumps(document)) == document


def test_what_is_read_is_what_stands_there() -> None:
    text = "a: [1, 2.5, yes, null, 'x']\n'<<': text\nb: {c: {d: e}}"
    read = {"a": [1, 2.5, True, None, "x"], "<<": "text", "b": {"c": {"d": "e"}}}
    assert read_yaml(text) == read
    assert read_json(json.dumps(read)) == read
    assert read_yaml(json.dumps(read)) == read


def test_a_bomb_costs_no_more_than_its_bytes() -> None:
    spent = {}
    for depth in (3, 9):
        began = time.process_time()
        with pytest.raises(InvalidDocument):
            read_yaml(bomb(depth))
        spent[depth] = time.process_time() - began
    assert spent[9] < spent[3] + 0.2, "each level would multiply the work by nine"
