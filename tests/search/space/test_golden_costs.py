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
    spec = factories.spec(**{k: case[k] for k in ("techniques", "model") if case[k] is not None})
    shape = tuple(case["image"] or (3, 224, 224))
    outline = factories.outline(
        catalog.read(case["architecture"]), input_shape=shape, num_classes=10
    )
    known = KnownCosts(space=space.build(spec, outline))
    found = {
        "exact": sorted(known.exact),
        "estimated": sorted(known.estimated),
        "highest": feasibility.highest(known.space.concrete, outline),
        "lowest": numbers(feasibility.lower_bounds(spec, known.space)),
        "candidates": [counted(each["params"], spec, known) for each in case["candidates"]],
    }
    expected = {name: case[name] for name in found}
    if case["image"] is None:
        found, expected = without_macs(found), without_macs(expected)
    assert found == expected


def counted(params: dict[str, Any], spec: JobSpec, known: KnownCosts) -> dict[str, Any]:
    candidate, costs = known.space.candidate(params), known.of(params)
    lowest = feasibility.candidate_bounds(spec, candidate, known.space.outline)
    return {
        "params": params,
        "digest": candidate.digest(),
        "counted": [costs[metric] for metric in ("parameters", "macs", "size_bytes")],
        "lowest": numbers(lowest),
    }


def numbers(bounds: Bounds) -> list[float]:
    return [bounds.size_bytes, bounds.parameters, bounds.macs]


def without_macs(found: dict[str, Any]) -> dict[str, Any]:
    """What was known when the size of images could be unknown: everything but MACs."""
    return {
        "exact": [metric for metric in found["exact"] if metric != "macs"],
        "estimated": [metric for metric in found["estimated"] if metric != "macs"],
        "highest": {m: value for m, value in found["highest"].items() if m != "macs"},
        "lowest": found["lowest"][:2],
        "candidates": [
            {**each, "counted": each["counted"][::2], "lowest": each["lowest"][:2]}
            for each in found["candidates"]
        ],
    }
