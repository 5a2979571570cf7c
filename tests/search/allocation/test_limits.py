"""Constraints as shares of the baseline: what an allotment may leave, and what opens a study."""

from __future__ import annotations

from typing import Any

import pytest

from compress.sensitivity.document import ProfileDocument
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.targets.plain import PLAIN
from compress.targets.portable import PORTABLE
from compress.targets.target import Target
from featherweight.specs import constraints
from search.allocation.allotment import Allotter
from search.allocation.limits import Limits
from search.space import allocation_knobs, space
from search.space.space import Space
from search.study import initial_design
from tests import factories

BOTH: dict[str, Any] = {"filter_pruning": {}, "quantization": {"weight_bits": [8, 4, 2]}}


def profile() -> ProfileDocument:
    """That of the factories, with what a weight takes in a file."""
    plain = factories.profile_document()
    layers = [
        layer.model_copy(
            update={
                "points": tuple(
                    point.model_copy(update={"coded": 0.8 * point.bits}) for point in layer.points
                )
            }
        )
        for layer in plain.layers
    ]
    return plain.model_copy(update={"layers": tuple(layers)})


PROFILE = profile()
BYTES = 4 * sum(layer.weights for layer in PROFILE.layers)
BESIDE = 100
_TARGETS = (ONNXRUNTIME, PORTABLE, PLAIN)
BASELINE = factories.measurement(size_bytes=BYTES + BESIDE, latency_ms=2.0)


def built(*asked: str, allocate: bool = True, **changes: Any) -> tuple[Any, Space]:
    fields = {"techniques": BOTH, "target": "onnxruntime"} | changes
    spec = factories.spec(profile={"allocate": allocate}, constraints=list(asked), **fields)
    return spec, space.build(spec, factories.outline()).on(PROFILE)


def opened(*asked: str, allocate: bool = True, **changes: Any) -> list[dict[str, Any]]:
    spec, _ = built(*asked, allocate=allocate, **changes)
    problem = factories.problem(spec, profile=PROFILE, baseline=BASELINE)
    return initial_design.candidates(problem, count=6)


def allotments(*asked: str) -> list[Any]:
    """What the candidates that open a study come to."""
    _, found = built(*asked)
    assert found.allocation is not None
    allotter = found.allocation.allotter
    return [
        allotter.allot(
            params["allocation.bytes"], pruning=params["allocation.pruning"], sharpness=1.0
        )
        for params in opened(*asked)
    ]


def of(*asked: str, scale_bits: int | None = 32, target: Target = ONNXRUNTIME) -> Limits:
    found = [constraints.parse(text) for text in asked]
    return Limits.of(found, BASELINE, PROFILE, scale_bits=scale_bits, counted=target.counted)


def test_what_is_asked_for_becomes_a_share_of_the_baseline() -> None:
    half, outputs = 0.96 * 0.5 * (BYTES + BESIDE), sum(layer.outputs for layer in PROFILE.layers)
    for scale_bits, added in ((None, 0), (16, 1_000), (32, 1_000 + 4 * outputs)):
        found = of("size_bytes <= baseline / 2", scale_bits=scale_bits).size
        assert found == pytest.approx((half - BESIDE - added) / BYTES)
    assert of("latency_ms <= 0.5 ms").macs == pytest.approx(0.25)
    assert of("macs <= 5 k", "latency_ms <= 1 ms").macs == pytest.approx(0.25)
    assert of("parameters <= 100").weights == pytest.approx(0.2)


def test_what_a_target_adds_to_the_weights_is_taken_off_their_share() -> None:
    outputs = sum(layer.outputs for layer in PROFILE.layers)
    half = {each.name: of("size_bytes <= 5 kB", target=each).size for each in _TARGETS}
    assert BYTES * (half["onnxruntime"] - half["portable"]) == pytest.approx(1_200)
    assert BYTES * (half["onnxruntime"] - half["plain"]) == pytest.approx(4 * outputs)


def test_for_a_target_that_packs_nothing_a_bound_is_met_by_channels_alone() -> None:
    outputs = sum(layer.outputs for layer in PROFILE.layers)
    bound = f"size_bytes <= {round((0.15 * BYTES + BESIDE + 1_000 + 8 * outputs) / 0.96)} B"
    _, found = built(bound, target="plain")
    assert found.allocation is not None
    allotter: Allotter = found.allocation.allotter
    assert allotter.choices.most == pytest.approx(8 / 32)
    budgets = opened(bound, target="plain")
    assert "allocation.pruning" not in budgets[0]
    limit = of(bound, target=PLAIN).size
    assert budgets[-1]["allocation.bytes"] == pytest.approx(limit) == pytest.approx(0.15, rel=0.01)
    for params in budgets:
        made = allotter.allot(params["allocation.bytes"], pruning=1.0, sharpness=1.0)
        assert set(made.bits.values()) == {8}
        assert made.share == pytest.approx(allotter.weights_left(made.ratios) * 8 / 32)


def test_a_download_still_takes_few_bytes_of_few_bits() -> None:
    objectives = ["maximise accuracy", "minimise download_bytes"]
    _, found = built(target="plain", objectives=objectives)
    assert found.allocation is not None
    assert found.allocation.choices.bits == (2, 4, 8)
    assert found.allocation.choices.whole_bits is None


def test_other_constraints_say_nothing_of_an_allotment() -> None:
    assert of("accuracy >= baseline - 1 point", "size_bytes >= 1 kB") == Limits()
    assert of("peak_memory_bytes <= 1 kB") == Limits()


def test_what_was_not_measured_of_the_baseline_limits_nothing() -> None:
    assert BASELINE.known("download_bytes") is None
    assert of("download_bytes <= 1 kB") == Limits()


def test_a_bound_on_bytes_is_the_largest_budget_of_the_opening() -> None:
    bound = of("size_bytes <= 1.8 kB").size
    budgets = [params["allocation.bytes"] for params in opened("size_bytes <= 1.8 kB")]
    assert len(budgets) == initial_design.MOST_BUDGETS
    assert budgets == sorted(budgets)
    assert budgets[-1] == pytest.approx(bound)
    assert all(found.share <= bound for found in allotments("size_bytes <= 1.8 kB"))


@pytest.mark.parametrize("asked", ["latency_ms <= 1 ms", "macs <= 10 k"])
def test_a_bound_on_work_is_met_by_pruning_at_every_budget(asked: str) -> None:
    _, found = built(asked)
    assert found.allocation is not None
    allotter: Allotter = found.allocation.allotter
    assert any(allotter.macs_left(each.ratios) > 0.5 for each in allotments())
    assert all(allotter.macs_left(each.ratios) <= 0.5 for each in allotments(asked))


def test_where_the_job_allots_nothing_bounds_are_met_through_its_own_knobs() -> None:
    spec, found = built("size_bytes <= 1.8 kB", allocate=False)
    allotter = Allotter(profile=PROFILE, choices=allocation_knobs.choices(spec, found.knobs))
    for params in opened("size_bytes <= 1.8 kB", allocate=False):
        ratios = tuple(
            params[name] for name in sorted(params) if name.startswith("filter_pruning.ratios")
        )
        width = params["quantization.weight_bits"] * 0.8
        assert allotter.weights_left(ratios) * width / 32 <= of("size_bytes <= 1.8 kB").size + 1e-9


@pytest.mark.parametrize(
    "asked", ["size_bytes <= baseline / 1000", "macs <= 1", "size_bytes <= 1 MB"]
)
def test_a_bound_that_nothing_or_everything_meets_changes_nothing(asked: str) -> None:
    assert opened(asked) == opened()


def test_of_several_bounds_all_are_kept() -> None:
    asked = ("size_bytes <= 1.8 kB", "latency_ms <= 1 ms", "parameters <= 300")
    _, found = built(*asked)
    assert found.allocation is not None
    allotter = found.allocation.allotter
    assert all(of(*asked).hold(allotter, each) for each in allotments(*asked))


def test_a_study_without_a_measured_baseline_opens_as_if_nothing_was_asked() -> None:
    spec, _ = built("size_bytes <= 1.8 kB")
    unmeasured = factories.problem(spec, profile=PROFILE)
    assert initial_design.candidates(unmeasured, count=6) == opened()
