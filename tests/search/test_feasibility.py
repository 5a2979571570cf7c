from __future__ import annotations

import pytest

from compress.families.catalog import Architecture
from compress.measurement import Measurement
from search import feasibility
from search.errors import InfeasibleConstraint
from tests import factories

NETWORK = Architecture(widths=(16, 32, 64), depths=(3, 3, 3))
ALL = {"family_member": {}, "filter_pruning": {}, "quantization": {}}


def check(
    *constraints: str, techniques: dict[str, object] = ALL, baseline: Measurement | None = None
) -> tuple[str, ...]:
    return feasibility.check(
        factories.spec(constraints=list(constraints), techniques=techniques),
        architecture=NETWORK,
        in_channels=3,
        num_classes=10,
        input_shape=(3, 32, 32),
        baseline=baseline,
    )


def bounds(techniques: dict[str, object]) -> feasibility.Bounds:
    return feasibility.lower_bounds(
        factories.spec(techniques=techniques),
        architecture=NETWORK,
        in_channels=3,
        num_classes=10,
        input_shape=(3, 32, 32),
    )


def test_possible_constraints_say_what_was_checked() -> None:
    said = check("size_bytes <= 64 kB", "accuracy >= 90 %", "latency_ms <= 3 ms")
    assert len(said) == 3
    assert said[0].startswith("size_bytes <= 64 kB: not below")
    assert "no lower bound of latency_ms" in said[2]


@pytest.mark.parametrize(
    ("constraint", "word"),
    [
        ("accuracy >= 1.5", "highest possible is 1"),
        ("accuracy >= 150 %", "highest possible is 1"),
        ("size_bytes <= 20", "nothing in the search space is below"),
        ("parameters <= 100", "nothing in the search space is below"),
        ("macs <= 1000", "nothing in the search space is below"),
        ("latency_ms <= 0 ms", "nothing in the search space is below"),
    ],
)
def test_what_nothing_can_meet_is_refused(constraint: str, word: str) -> None:
    with pytest.raises(InfeasibleConstraint, match=word) as caught:
        check(constraint)
    assert constraint in str(caught.value)


def test_bounds_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InfeasibleConstraint, match="contradict"):
        check("size_bytes >= 90 kB", "size_bytes <= 80 kB")
    assert len(check("size_bytes >= 70 kB", "size_bytes <= 80 kB")) == 2


def test_relative_constraints_wait_for_the_baseline() -> None:
    (said,) = check("accuracy >= baseline + 20 points")
    assert "once the baseline is measured" in said
    with pytest.raises(InfeasibleConstraint, match="highest possible"):
        check("accuracy >= baseline + 20 points", baseline=factories.measurement(0.9))


def test_without_techniques_that_shrink_the_bound_is_the_network_itself() -> None:
    convolutions = 3 * 9 * 16 + 6 * 9 * 16 * 16
    convolutions += 9 * 16 * 32 + 5 * 9 * 32 * 32 + 16 * 32
    convolutions += 9 * 32 * 64 + 5 * 9 * 64 * 64 + 32 * 64
    weights = convolutions + 640
    assert bounds({"distillation": {}}).parameters == weights
    assert bounds({"distillation": {}}).size_bytes == 4 * weights
    assert bounds({"quantization": {"weight_bits": 8}}).size_bytes == weights
    assert bounds({"quantization": {}}).size_bytes == weights / 2


def test_wider_ranges_lower_the_bounds() -> None:
    some, more = bounds({"filter_pruning": {"ratios": [0, 0.3]}}), bounds({"filter_pruning": {}})
    assert more.size_bytes < some.size_bytes
    assert more.macs < some.macs
    assert bounds(ALL).parameters < bounds({"filter_pruning": {}}).parameters
