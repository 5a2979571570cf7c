"""What a sampler is told of allotments is near what they come to."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from search.samplers import Knowledge
from search.samplers.known_cost import knowledge
from search.space import space
from search.space.points import Points
from search.space.space import Space
from search.study.allocation_table import AllocationTable
from search.study.knowledge import of_problem
from tests import factories

BOTH: dict[str, Any] = {
    "filter_pruning": {},
    "quantization": {"weight_bits": [8, 4, 2]},
    "distillation": {},
}


def build(techniques: dict[str, Any] = BOTH, **changes: Any) -> Space:
    asked = factories.spec(**({"techniques": techniques, "profile": {}} | changes))
    return space.build(asked, factories.outline()).on(factories.profile_document())


def some(found: Space, count: int = 40) -> list[dict[str, Any]]:
    return [dict(params) for _, params in found.controls(num_random=count)]


def _values(asked: list[dict[str, Any]], name: str) -> list[Any]:
    return [params[name] for params in asked]


def exact(found: Space, params: dict[str, Any]) -> tuple[float, ...]:
    assert found.allocation is not None
    allotter = found.allocation.allotter
    name = f"allocation.{allotter.choices.axis}"
    allotted = allotter.allot(
        params[name],
        pruning=params.get("allocation.pruning", 1.0),
        sharpness=params["allocation.sharpness"],
        edges_8bit=params.get("quantization.edges_8bit", True),
    )
    return allotted.share, allotted.damage, *allotted.ratios


@pytest.mark.parametrize(
    ("techniques", "changes"),
    [
        (BOTH, {}),
        ({"quantization": {"weight_bits": [8, 6, 4, 3, 2]}}, {}),
        ({"filter_pruning": {}}, {}),
        ({"quantization": {"weight_bits": [8, 4, 2], "edges_8bit": [True, False]}}, {}),
        ({"filter_pruning": {}}, {"objectives": ["maximise accuracy", "minimise macs"]}),
    ],
)
def test_shares_and_damages_are_near_those_of_allotments(
    techniques: dict[str, Any], changes: dict[str, Any]
) -> None:
    found = build(techniques, **changes)
    table = AllocationTable.of(found)
    assert table is not None
    asked = some(found)
    told = np.array([table.shares(asked), *(hint(asked) for hint in table.hints)])
    real = np.array([exact(found, params) for params in asked]).T
    assert told.shape == real.shape
    assert np.abs(np.log(told[0] / real[0])).mean() < 0.15
    assert told[1].min() > 0
    order = [np.argsort(np.argsort(damages)) for damages in (told[1], real[1])]
    assert np.corrcoef(order)[0, 1] > 0.9
    assert np.abs(told[2:] - real[2:]).sum() <= 0.1 * told[2:].size
    # Read knob by knob it is the same.
    columns = {name: partial(_values, asked, name) for name in asked[0]}
    assert table.shares(Points(len(asked), columns)) == told[0].tolist()


def test_a_share_that_nothing_reaches_is_told_as_what_is_left() -> None:
    found = build()
    table = AllocationTable.of(found)
    assert table is not None
    low = {"allocation.pruning": 0.0, "allocation.sharpness": 0.0}
    (share,) = table.shares([{"allocation.bytes": table.low, **low}])
    # The first and the last layer keep 8 bits.
    assert share > 1.5 * table.low
    beyond = table.shares([{"allocation.bytes": table.low / 9, **low}])
    assert beyond == [share]


def test_there_is_none_without_a_profile_or_without_knobs_that_allot() -> None:
    bare = space.build(factories.spec(techniques=BOTH, profile={}), factories.outline())
    assert AllocationTable.of(bare) is None
    assert AllocationTable.of(build(profile={"allocate": False})) is None


def test_a_job_s_sampler_is_told_what_fits_its_objectives() -> None:
    def told(**changes: Any) -> Knowledge:
        spec = factories.spec(techniques=BOTH, profile={}, **changes)
        return of_problem(factories.problem(spec, profile=factories.profile_document()))

    sizes = told()
    assert (set(sizes.costs), set(sizes.estimates), len(sizes.hints)) == (set(), {1}, 3)
    knobs = {"allocation.bytes", "allocation.pruning", "allocation.sharpness"}
    assert sizes.explained == knobs
    facts = knowledge.facts(sizes, np.array([-1.0, 1.0]), some(build()))
    assert np.isfinite(facts.estimates[1]).all()
    assert np.isfinite(facts.hints[0]).all()
    slow = told(objectives=["minimise latency_ms", "maximise accuracy", "minimise macs"])
    assert (set(slow.estimates), len(slow.hints)) == ({0, 2}, 3)
    counts = told(objectives=["maximise accuracy", "minimise parameters"])
    assert (set(counts.estimates), len(counts.hints)) == (set(), 4)
