"""What the target of a job changes in its space, and in what its candidates are known to weigh."""

from __future__ import annotations

from typing import Any

import pytest

from compress.network.structure import narrowing
from compress.targets import registry
from compress.techniques.registry import BY_NAME
from search.errors import InfeasibleConstraint
from search.space import feasibility, slack, space
from search.space.known_costs import KnownCosts
from search.space.space import Space
from tests import factories

SMALLER: dict[str, Any] = {
    "filter_pruning": {},
    "sparsity": {},
    "weight_sharing": {},
    "quantization": {"weight_bits": [8, 4, 2], "scale_bits": [32, 16]},
}
IDLE = {
    "quantization.weight_bits": 8,
    "quantization.scale_bits": 32,
    "sparsity.sparsity": 0.0,
    "weight_sharing.index_bits": 0,
}


def built(target: str, techniques: dict[str, Any] = SMALLER, **changes: Any) -> Space:
    asked = factories.spec(target=target, techniques=techniques, **changes)
    return space.build(asked, factories.outline())


def fixed(found: Space) -> dict[str, Any]:
    return {k.path: k.choices[0] for k in found.knobs if k.path in IDLE and k.kind == "fixed"}


@pytest.mark.parametrize("target", ["onnxruntime", "portable"])
def test_a_target_that_packs_turns_every_knob(target: str) -> None:
    found = built(target)
    assert fixed(found) == {}
    assert found.idle == ()
    assert found.knobs == built("onnxruntime").knobs


def test_a_target_that_packs_nothing_fixes_what_saves_no_bytes_and_says_so() -> None:
    asked = factories.spec(target="plain", techniques=SMALLER)
    problem = factories.problem(asked)
    assert fixed(problem.space) == IDLE
    assert {knob.technique for knob in problem.space.turning} == {"filter_pruning"}
    said = "\n".join(slack.cautions(problem))
    for knob, value in IDLE.items():
        assert f"of {knob} no value saves bytes for the target plain: " in said
        assert f"It is fixed at {value!r}" in said
    assert problem.space.acting == ("filter_pruning",)


def test_downloads_are_small_with_few_bits_in_any_form() -> None:
    objectives = ["maximise accuracy", "minimise download_bytes"]
    found = built("plain", objectives=objectives)
    assert (fixed(found), found.idle) == ({}, ())
    assert found.knobs == built("onnxruntime").knobs


def test_what_a_job_insists_on_stays_and_is_said_to_save_nothing() -> None:
    techniques = {"sparsity": {"sparsity": [0.5, 0.8]}, "quantization": {"weight_bits": [4]}}
    found = built("plain", techniques)
    turning = {knob.path: knob.choices for knob in found.turning}
    assert turning["sparsity.sparsity"] == (0.5, 0.8)
    kept = [knob.choices for knob in found.knobs if knob.path == "quantization.weight_bits"]
    assert kept == [(4,)]
    (said,) = found.idle
    assert said.startswith("of sparsity.sparsity no value saves bytes")
    assert "fixed at" not in said


def test_every_idle_knob_of_a_target_is_a_field_that_can_be_off_or_wide() -> None:
    for target in registry.TARGETS:
        for idle in target.idle_knobs:
            technique, _, field = idle.knob.partition(".")
            assert field in BY_NAME[technique].config.model_fields
            if idle.fixed_at == "off":
                assert field in BY_NAME[technique].disabled


@pytest.mark.parametrize(
    ("target", "activations", "bits"),
    [
        ("portable", "int8", 2),
        ("portable", "float", 2),
        ("plain", "int8", 8),
        ("plain", "float", 32),
    ],
)
def test_a_weight_weighs_what_the_form_gives_it(target: str, activations: str, bits: int) -> None:
    techniques = {
        "filter_pruning": {},
        "quantization": {"weight_bits": [2], "activations": [activations]},
    }
    costs = KnownCosts(space=built(target, techniques))
    counted = costs.of({knob.name: 0.0 for knob in costs.space.turning})
    weights = sum(narrowing.weights(layer) for layer in costs.space.outline.layers)
    expected = (weights * bits + (counted["parameters"] - weights) * 32) / 8
    assert counted["size_bytes"] == pytest.approx(expected)


def test_a_bound_below_a_byte_for_each_weight_is_refused_for_the_plain_form() -> None:
    weights = factories.outline().parameters
    techniques = {"quantization": {"weight_bits": [8, 4, 2]}}
    asked = {"techniques": techniques, "constraints": [f"size_bytes <= {weights // 2} B"]}
    for target in ("onnxruntime", "portable"):
        feasibility.check(factories.problem(factories.spec(target=target, **asked)))
    with pytest.raises(InfeasibleConstraint, match="nothing in the search space is below"):
        feasibility.check(factories.problem(factories.spec(target="plain", **asked)))
    floats = {"techniques": {"quantization": {"activations": ["float"]}}}
    asked = floats | {"constraints": [f"size_bytes <= {2 * weights} B"]}
    with pytest.raises(InfeasibleConstraint):
        feasibility.check(factories.problem(factories.spec(target="plain", **asked)))
