"""Which knobs a job with a profile has, what they give, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from compress.network.families.residual.config import Residual
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.quantization.config import Quantization
from search.errors import InvalidSpace, ProfileDoesNotFit
from search.space import feasibility, space
from search.space.space import Space
from search.study import initial_design
from tests import factories

BOTH: dict[str, Any] = {"filter_pruning": {}, "quantization": {"weight_bits": [8, 4, 2]}}
ALL = ["allocation.bytes", "allocation.pruning", "allocation.sharpness"]


def build(techniques: dict[str, Any] = BOTH, *, profile: Any = None, **changes: Any) -> Space:
    asked = factories.spec(techniques=techniques, profile=profile or {}, **changes)
    return space.build(asked, factories.outline())


def on_profile(techniques: dict[str, Any] = BOTH, **changes: Any) -> Space:
    return build(techniques, **changes).on(factories.profile_document())


def names(found: Space) -> list[str]:
    return [knob.name for knob in found.turning]


def test_three_knobs_take_the_place_of_ratios_and_bits() -> None:
    found = build(BOTH | {"distillation": {}})
    assert names(found) == [*ALL, "distillation.temperature", "distillation.weight"]
    ends = {knob.name: (knob.low, knob.high, knob.log) for knob in found.turning}
    assert ends["allocation.bytes"] == (0.003938, 0.25, True)
    assert found.num_candidates == float("inf")


def test_a_large_network_has_no_more_knobs_than_a_small_one() -> None:
    large = Residual(widths=(8, 16, 32, 64), depths=(9, 9, 9, 9))
    asked = factories.spec(techniques=BOTH, profile={})
    assert names(space.build(asked, factories.outline(large))) == ALL


@pytest.mark.parametrize(
    ("techniques", "changes", "expected"),
    [
        ({"filter_pruning": {}}, {}, ["allocation.bytes", "allocation.sharpness"]),
        ({"quantization": {}}, {}, ["allocation.bytes", "allocation.sharpness"]),
        (
            BOTH | {"quantization": {"weight_bits": 4}},
            {},
            ["allocation.bytes", "allocation.sharpness"],
        ),
        (
            BOTH | {"quantization": {"weight_bits": [8, 4], "layer_bits": "conv1=6"}},
            {},
            ["allocation.bytes", "allocation.sharpness", "quantization.weight_bits"],
        ),
        (
            BOTH,
            {"objectives": ["maximise accuracy", "minimise latency_ms"]},
            ["allocation.macs", "allocation.sharpness", "quantization.weight_bits"],
        ),
    ],
)
def test_only_knobs_that_decide_something_are_offered(
    techniques: dict[str, Any], changes: dict[str, Any], expected: list[str]
) -> None:
    assert names(build(techniques, **changes)) == expected


def test_without_allocate_the_space_is_the_usual_one() -> None:
    usual = space.build(factories.spec(techniques=BOTH), factories.outline())
    assert build(profile={"allocate": False}).knobs == usual.knobs


@pytest.mark.parametrize(
    ("techniques", "words"),
    [
        ({"filter_pruning": {"scope": "uniform", "ratio": 0.5}}, "filter_pruning.scope can be 'un"),
        (BOTH | {"filter_pruning": {"target": "macs", "ratio": 0.5}}, "filter_pruning.target can"),
        (BOTH | {"filter_pruning": {"exclude": "conv1"}}, "filter_pruning.exclude can be 'conv1'"),
        ({"quantization": {"exclude": "conv1"}}, "quantization.exclude can be 'conv1'"),
        (
            {"quantization": {"allocation": ["sensitivity"], "weight_bits": 4}},
            "quantization.allocation can be 'sensitivity'",
        ),
        ({"quantization": {"weight_bits": 8}}, "there is nothing to allocate"),
        (
            {"quantization": {"weight_bits": [16, 8, 4], "activations": "float"}},
            "can be more than 8, for which there is no grid",
        ),
    ],
)
def test_what_a_profile_cannot_serve_is_refused_with_the_way_out(
    techniques: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidSpace, match=words):
        build(techniques)


def test_nothing_can_be_allotted_before_there_is_a_profile() -> None:
    found = build()
    params = {"allocation.bytes": 0.1, "allocation.pruning": 0.5, "allocation.sharpness": 1.0}
    with pytest.raises(ProfileDoesNotFit, match="not profiled yet"):
        found.candidate(params)


def test_a_profile_of_another_network_is_refused() -> None:
    other = Residual(widths=(4, 8, 16), depths=(1, 1, 1))
    built = space.build(factories.spec(techniques=BOTH, profile={}), factories.outline(other))
    with pytest.raises(ProfileDoesNotFit, match="start the job again without profile"):
        built.on(factories.profile_document())


def test_a_profile_without_a_single_probe_is_no_ground_to_search_on() -> None:
    empty = factories.profile_document(probes=0, allowed_seconds=0.01)
    with pytest.raises(ProfileDoesNotFit, match=r"0.01 s were not enough .* raise profile.share"):
        build().on(empty)


def test_values_of_the_knobs_give_a_candidate_of_ratios_and_bits_by_layer() -> None:
    found = on_profile()
    pruned, quantized = found.candidate(
        {"allocation.bytes": 0.05, "allocation.pruning": 0.5, "allocation.sharpness": 1.0}
    ).steps
    assert isinstance(pruned, FilterPruning)
    assert isinstance(quantized, Quantization)
    assert pruned.ratios[1] > pruned.ratios[0]
    layers = {layer.name for layer in factories.profile_document().layers}
    named = dict(quantized.bits_of_patterns)
    assert set(named) <= layers - {"conv1", "linear"}
    assert set(named.values()) <= {2, 4, 8} - {quantized.weight_bits}


def test_the_same_values_give_the_same_candidate_in_a_space_that_was_built_again() -> None:
    params = {"allocation.bytes": 0.04, "allocation.pruning": 0.3, "allocation.sharpness": 0.5}
    assert on_profile().candidate(params) == on_profile().candidate(params)


def test_controls_are_what_they_are_without_a_profile() -> None:
    usual = space.build(factories.spec(techniques=BOTH), factories.outline())
    described = {name: usual.candidate(p).describe() for name, p in usual.controls()}
    found = on_profile()
    allotted = {name: found.candidate(p).describe() for name, p in found.controls()}
    for name in ("uniform 8-bit", "uniform pruning"):
        assert allotted[name] == described[name]


def test_bounds_of_a_job_do_not_depend_on_its_knobs() -> None:
    def bounds(**changes: Any) -> feasibility.Bounds:
        problem = factories.problem(factories.spec(techniques=BOTH, **changes))
        return feasibility.lower_bounds(problem.spec, problem.space)

    assert bounds(profile={}) == bounds()


@pytest.mark.parametrize("allocate", [True, False])
def test_the_opening_is_small_to_large_in_the_job_s_own_knobs(allocate: bool) -> None:
    asked = factories.spec(techniques=BOTH, profile={"allocate": allocate})
    problem = factories.problem(asked, profile=factories.profile_document())
    found = problem.space
    opened = initial_design.candidates(problem, count=20)
    assert len(opened) == initial_design.MOST_BUDGETS
    wanted = {knob.name for knob in found.turning}
    assert all(set(params) == wanted for params in opened)
    words = [found.candidate(params).describe() for params in opened]
    shares = [
        max(map(float, re.findall(r"prune [\d./]*?([\d.]+) ", word)), default=0) for word in words
    ]
    assert shares[0] == max(shares)
    assert shares[-1] == min(shares)
    assert initial_design.candidates(problem, count=3) != opened[:3]
    assert len(initial_design.candidates(problem, count=3)) == 3


def test_without_a_profile_nothing_opens_a_study() -> None:
    problem = factories.problem(factories.spec(techniques=BOTH))
    assert initial_design.candidates(problem, count=6) == []
