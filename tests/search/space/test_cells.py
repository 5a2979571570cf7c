"""Knobs of the edges of a cell, and cells through which no path leads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from compress.network.families.nasbench201.config import NasBench201
from compress.network.member import OPERATIONS
from compress.techniques.candidate import Candidate
from search.admission import bounds_filter
from search.errors import TechniqueDoesNotFit
from search.space import validation
from search.space.space import Space, build
from tests import factories

ALL = NasBench201(channels=4, cells=(1, 1, 1))
FIXED = {"width": 1.0, "depth": 2}


def space_of(network: NasBench201 = ALL, **member: Any) -> Space:
    spec = factories.spec(
        techniques={"family_member": FIXED | member},
        student=network.model_dump(),
        supernet={"epochs": 1},
    )
    return build(spec, factories.outline(network))


def test_every_edge_has_a_knob_of_its_own_with_the_most_costly_operation_first() -> None:
    space = space_of()
    assert [knob.name for knob in space.turning] == [f"family_member.cell.{n}" for n in range(6)]
    assert {knob.choices for knob in space.turning} == {OPERATIONS[::-1]}
    assert space.num_candidates == 5**6


def test_an_edge_that_holds_one_operation_keeps_it_or_has_none() -> None:
    held = ("all", "nor_conv_3x3", "none", "skip_connect", "all", "nor_conv_1x1")
    space = space_of(ALL.model_copy(update={"cell": held}))
    choices = [knob.choices for knob in space.knobs if "cell" in knob.name]
    assert choices == list(ALL.model_copy(update={"cell": held}).operations)
    assert choices[1] == ("nor_conv_3x3", "none")
    assert choices[2] == ("none",)


def test_a_candidate_names_the_operation_of_every_edge() -> None:
    space = space_of()
    names = ("nor_conv_3x3", "skip_connect", "none", "nor_conv_1x1", "avg_pool_3x3", "skip_connect")
    params = {knob.name: name for knob, name in zip(space.turning, names, strict=True)}
    candidate = space.candidate(params)
    [step] = candidate.configs
    assert (step.cell, step.weights) == (names, "supernet")
    assert Candidate.model_validate_json(candidate.model_dump_json()) == candidate


def test_controls_of_cells_are_cells() -> None:
    space = space_of()
    found = [space.candidate(params).network for _, params in space.controls()]
    assert found
    assert all(len(step.cell) == 6 for step in found)


def test_an_operation_that_an_edge_does_not_have_is_refused_with_the_edge() -> None:
    network = ALL.model_copy(update={"cell": ("all",) * 5 + ("skip_connect",)})
    with pytest.raises(TechniqueDoesNotFit, match=r"edge 5 of the network's cell has only"):
        space_of(network, cell=["nor_conv_3x3", "nor_conv_1x1"])


def test_per_edge_is_empty_where_the_search_leaves_the_cell_as_it_is() -> None:
    assert (
        validation.per_edge(space_of(cell=["none", "skip_connect"]).knobs)
        == (("skip_connect", "none"),) * 6
    )
    plain = build(factories.spec(), factories.outline())
    assert validation.per_edge(plain.knobs) == ()


def test_cells_without_a_path_from_input_to_output_are_refused() -> None:
    with pytest.raises(TechniqueDoesNotFit, match="no path leads through a cell of"):
        space_of(cell=["none"])
    cut = ALL.model_copy(update={"cell": ("all", "all", "all", "none", "none", "none")})
    with pytest.raises(TechniqueDoesNotFit, match="operations other than 'none'"):
        space_of(cut)


def test_one_path_is_enough() -> None:
    only = ALL.model_copy(update={"cell": ("none", "none", "none", "all", "none", "none")})
    assert space_of(only).num_candidates == 5


def test_cells_that_differ_only_where_nothing_reaches_the_answer_are_one_candidate() -> None:
    space = space_of()
    dead = ("skip_connect", "none", "none", "nor_conv_3x3", "none", "none")
    deader = ("none", "none", "none", "nor_conv_3x3", "none", "none")
    one, other = (space.candidate(_params(names)) for names in (dead, deader))
    assert one.digest() == other.digest()
    assert one.network.cell == deader
    alive = ("skip_connect", "none", "none", "nor_conv_3x3", "avg_pool_3x3", "none")
    assert space.candidate(_params(alive)).network.cell == alive


def test_a_cell_without_a_path_is_refused_before_it_costs_a_trial() -> None:
    spec = factories.spec(techniques={"family_member": {}})
    baseline = factories.measurement(0.9, 100_000)
    bounds = bounds_filter.of_problem(factories.problem(spec, own=ALL, baseline=baseline))
    assert bounds is not None
    space = space_of()
    closed = space.candidate(_params(("nor_conv_3x3",) + ("none",) * 5))
    found = bounds.rejection(closed, ())
    assert found is not None
    assert found.reason == bounds_filter.CONSTANT
    through = space.candidate(_params(("none",) * 3 + ("skip_connect", "none", "none")))
    assert bounds.rejection(through, ()) is None


def _params(names: Sequence[str]) -> dict[str, str]:
    return {f"family_member.cell.{edge}": name for edge, name in enumerate(names)}
