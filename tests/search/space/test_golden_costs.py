"""Counts and bounds of candidates, in every family, are the numbers of the stored golden file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compress.network.families import catalog
from featherweight.specs.job import JobSpec
from search.space import feasibility, space
from search.space.feasibility import Bounds
from search.space.known_costs import KnownCosts
from search.space.problem import BaseNetwork
from tests import factories

SPACES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "golden" / "costs-v1.json").read_text()
)["spaces"]
FAMILIES = sorted({case["architecture"]["family"] for case in SPACES})


def test_every_family_is_there() -> None:
    assert sorted(catalog.BY_NAME) == FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_a_space_has_its_bounds_and_its_candidates_their_costs(family: str) -> None:
    cases = [case for case in SPACES if case["architecture"]["family"] == family]
    assert len(cases) >= 5
    for case in cases:
        check_space(case)


def check_space(case: dict[str, Any]) -> None:
    architecture = catalog.read(case["architecture"])
    spec = factories.spec(**{k: case[k] for k in ("techniques", "model") if case[k] is not None})
    image = tuple(case["image"]) if case["image"] else None
    network = BaseNetwork(architecture=architecture, input_shape=image or (3, 0, 0), num_classes=10)
    found = space.build(spec, architecture)
    known = KnownCosts(space=found, network=network)
    assert (sorted(known.exact), sorted(known.estimated)) == (case["exact"], case["estimated"])
    assert feasibility.highest(found.concrete, network) == case["highest"]
    lowest = feasibility.lower_bounds(spec, found, network)
    assert numbers(lowest) == case["lowest"]
    for each in case["candidates"]:
        check_candidate(each, spec, known)


def check_candidate(case: dict[str, Any], spec: JobSpec, known: KnownCosts) -> None:
    candidate = known.space.candidate(case["params"])
    assert candidate.digest() == case["digest"]
    counted = known.of(case["params"])
    assert [counted[m] for m in ("parameters", "macs", "size_bytes")] == case["counted"]
    assert numbers(feasibility.candidate_bounds(spec, candidate, known.network)) == case["lowest"]


def numbers(bounds: Bounds) -> list[float]:
    return [bounds.size_bytes, bounds.parameters, bounds.macs]
