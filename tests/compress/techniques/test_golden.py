"""Digests, canonical forms and relations of techniques are those of the stored golden file."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from compress.techniques import registry
from compress.techniques.candidate import Candidate
from compress.techniques.rules import canonical, compatibility

GOLDEN: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[2] / "golden" / "techniques-v1.json").read_text()
)


def test_a_candidate_has_its_digest_its_canonical_form_and_its_words() -> None:
    for case in GOLDEN["candidates"]:
        candidate = Candidate.model_validate({"steps": case["steps"]})
        assert candidate.digest() == case["digest"], case["steps"]
        assert _given(candidate.canonical()) == case["canonical"]
        assert candidate.describe() == case["words"]


def test_values_become_the_nearest_that_every_config_accepts() -> None:
    for case in GOLDEN["accepted"]:
        found = canonical.accepted(case["values"])
        assert json.loads(json.dumps(found)) == case["accepted"], case["values"]
        assert list(found) == list(case["accepted"])


def test_every_ordered_pair_of_techniques_has_its_relation() -> None:
    pairs = [(case["first"], case["second"]) for case in GOLDEN["relations"]]
    assert pairs == list(permutations([technique.name for technique in registry.TECHNIQUES], 2))
    for case in GOLDEN["relations"]:
        if case["kind"] is None:
            with pytest.raises(KeyError):
                compatibility.between(case["first"], case["second"])
            continue
        relation = compatibility.between(case["first"], case["second"])
        assert (relation.kind, relation.why) == (case["kind"], case["why"])
        assert list(relation.fields) == case["fields"]
        assert [[repr(part) for part in parts] for parts in relation.unless] == case["unless"]


def _given(candidate: Candidate) -> list[dict[str, Any]]:
    return [
        {"technique": step.technique, **step.model_dump(mode="json", exclude_defaults=True)}
        for step in candidate.configs
    ]
