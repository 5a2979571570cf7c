"""Documents made to cost much: each is refused within a moment, and others notice nothing."""

import json
import shutil
import threading
import time
from typing import Any

import httpx2
import pytest

from featherweight import documents
from service.app import create_app
from tests.running import running
from tests.service.running import problem, spec

MEBIBYTE = documents.MAX_BYTES
LONG = MEBIBYTE - 2000
NUMBERS = "1," * (LONG // 2) + "1"
MOST_SECONDS = 10.0
"""On a busy machine; without limits most of these take from ten seconds to a quarter of an hour."""


def job(**changes):
    return json.dumps(spec(**changes))


DOCUMENTS = {
    "blanks in a constraint": job(constraints=["accuracy >= 1" + " " * LONG + "x"]),
    "digits in a constraint": job(constraints=["accuracy >= " + "1" * LONG]),
    "words of an objective": job(objectives=["a " * (LONG // 2)]),
    "a long name": job(name="a" * LONG),
    "a long reference": job(data="a" * LONG),
    "a long cell": job(
        model={"architecture": {"family": "nasbench201", "cell": "|" + "a" * LONG}, "epochs": 1}
    ),
    "unknown fields": job(**{f"f{i}": 1 for i in range(60_000)}),
    "choices": job(techniques={"quantization": {"weight_bits": list(range(60_000))}}),
    "long patterns": job(techniques={"quantization": {"exclude": ["*a" * 250] * 1000}}),
    "techniques": job(techniques={f"t{i}": {} for i in range(60_000)}),
    "ranges": job(techniques={f"t{i}": {f"k{j}": [1] for j in range(300)} for i in range(30)}),
    "constraints": job(constraints=["accuracy >= 0.5"] * 40_000),
    "a long number": '{"seed": ' + "9" * LONG + "}",
    "a long fraction": '{"seed": 0.' + "9" * LONG + "}",
    "a long exponent": '{"seed": 1e' + "9" * LONG + "}",
    "levels": "[" * (LONG // 2) + "]" * (LONG // 2),
    "the same key": "{" + ",".join(['"a":1'] * 150_000) + "}",
    "numbers": f"[{NUMBERS}]",
    "numbers behind an escaped backslash": r'["\\",' + NUMBERS[:-20] + "]",
    "numbers in another encoding": f'["\\"",{NUMBERS[: LONG // 2]}1]'.encode("utf-16-le"),
    "escapes": '{"name": "' + r"\u0101" * (LONG // 6) + '"}',
}


@pytest.fixture(scope="module")
def house(sqlite_template, tmp_path_factory):
    """A real process: what it computes does not share this one's interpreter."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copy(sqlite_template, folder / "featherweight.db")
    with running(folder) as found:
        found.serve()
        yield found.url


def post(url, document, *, path="/v1/jobs?dry_run=true", kind="application/json"):
    """The answer, its seconds, and the longest that somebody else waited meanwhile."""
    answers: list[Any] = []

    def send():
        headers = {"Content-Type": kind}
        answers.append(httpx2.post(url + path, content=document, headers=headers, timeout=60))

    sender, begin, longest = threading.Thread(target=send), time.monotonic(), 0.0
    sender.start()
    with httpx2.Client(base_url=url, timeout=60) as others:
        while sender.is_alive():
            asked = time.monotonic()
            assert others.get("/healthz").status_code == 200
            longest = max(longest, time.monotonic() - asked)
    sender.join()
    return answers[0], time.monotonic() - begin, longest


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_would_cost_much_is_refused_and_stops_nobody(house, name):
    answer, seconds, others = post(house, DOCUMENTS[name])
    assert answer.status_code == 422, answer.text
    assert max(seconds, others) < MOST_SECONDS
    assert len(answer.content) < 100_000


@pytest.mark.parametrize("path", ["clone", "candidates"])
def test_other_documents_of_a_job_are_bounded_alike(house, path):
    many = {f"f{i}": 1 for i in range(60_000)}
    answer, seconds, others = post(house, json.dumps([many]), path=f"/v1/jobs/abc/{path}")
    assert problem(answer, 422, "RequestValidationError")
    assert max(seconds, others) < MOST_SECONDS


def bomb(levels):
    lines = ["a0: &a0 {" + ", ".join(f"k{i}: 1" for i in range(9)) + "}"]
    for level in range(1, levels + 1):
        aliases = ",".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {{<<: [{aliases}]}}")
    return "\n".join(lines)


YAML = {
    "merge keys": (bomb(9), "merge keys"),
    "one merge key": ("<<: {name: a}", "merge keys"),
    "aliases": ("a: &a [1]\nb: *a", "aliases"),
    "a tag of Python": ("name: !!python/object/apply:os.system [id]", "tags"),
    "a tag": ("name: !!binary aGk=", "tags"),
    "a tag of ours": ("name: !secret a", "tags"),
    "a key twice": ("name: a\nname: b", "twice"),
    "levels": ("[" * 1000, "levels"),
    "values": ("[" + "1," * 30_000 + "1]", "values"),
    "digits": ("seed: " + "9" * 60_000, "too long for a number"),
    "sixties": ("seed: " + ":".join(["1"] * 30_000), "too long for a number"),
    "a fraction of sixties": ("seed: " + "1:" * 20_000 + "1.5", "too long for a number"),
    "a date that is none": ("name: 2001-13-41", "month"),
    "infinity": ("seed: .inf", "finite"),
    "two documents": ("name: a\n---\nname: b", "document"),
    "too long": ("# " + "a" * documents.MAX_YAML_BYTES, "limit"),
}


@pytest.mark.parametrize("name", YAML)
def test_yaml_is_plain_data_of_its_own_size(house, name):
    text, words = YAML[name]
    answer, seconds, others = post(house, text, kind="application/yaml")
    assert answer.status_code in (413, 422), answer.text
    assert words in answer.json()["detail"]
    assert max(seconds, others) < MOST_SECONDS


def test_a_list_of_a_hundred_mistakes_stands_for_all(house):
    found = post(house, job(**{f"f{i}": 1 for i in range(900)}))[0].json()
    assert len(found["errors"]) <= 100
    assert "Extra inputs" in found["detail"]


def unbounded(document, schema, where, seen):
    """Places below a schema that take text, lists or mappings of any length."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen:
            seen.add(name)
            yield from unbounded(document, document["components"]["schemas"][name], name, seen)
        return
    if is_unbounded(schema):
        yield where
    parts = [schema[key] for key in ("items", "additionalProperties") if key in schema]
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        parts += schema.get(key, [])
    for part in (part for part in parts if isinstance(part, dict)):
        yield from unbounded(document, part, where, seen)
    for name, part in schema.get("properties", {}).items():
        yield from unbounded(document, part, f"{where}.{name}", seen)


def is_unbounded(schema):
    match schema.get("type"):
        case "string":
            return not {"enum", "const", "maxLength", "format"} & schema.keys()
        case "array":
            return "maxItems" not in schema
    takes_any_name = schema.get("additionalProperties") not in (None, False)
    return takes_any_name and "maxProperties" not in schema


def test_everything_that_is_sent_has_a_bound_in_the_schema():
    document, seen, found = create_app().openapi(), set(), set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", []):
                where = f"{method} {path} {parameter['name']}"
                found |= set(unbounded(document, parameter["schema"], where, seen))
            for content in operation.get("requestBody", {}).get("content", {}).values():
                found |= set(unbounded(document, content["schema"], f"{method} {path}", seen))
    assert found == set()
