from __future__ import annotations

import math

import pytest

from compress.network.families.residual.config import Residual
from compress.values.measurement import Measurement
from search.errors import InfeasibleConstraint
from search.space import feasibility
from search.space.space import build
from tests import factories

NETWORK = Residual(widths=(16, 32, 64), depths=(3, 3, 3))
OUTLINE = factories.outline(NETWORK, input_shape=(3, 32, 32), num_classes=10)
ALL = {"family_member": {}, "filter_pruning": {}, "quantization": {}}


def check(
    *constraints: str, techniques: dict[str, object] = ALL, baseline: Measurement | None = None
) -> tuple[str, ...]:
    spec = factories.spec(constraints=list(constraints), techniques=techniques)
    dataset = factories.dataset_info(num_classes=10, input_shape=(3, 32, 32))
    problem = factories.problem(spec, own=NETWORK, dataset=dataset, baseline=baseline)
    return feasibility.check(problem)


def bounds(techniques: dict[str, object]) -> feasibility.Bounds:
    spec = factories.spec(techniques=techniques)
    return feasibility.lower_bounds(spec, build(spec, OUTLINE))


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
        ("macro_f1 >= 90", "asks for a macro_f1 of 90, and the highest possible is 1"),
        ("top5_accuracy >= baseline + 1", "top5_accuracy is a share from 0 to 1"),
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


def test_memory_and_downloads_are_not_foretold() -> None:
    said = check("download_bytes <= 10 B", "peak_memory_bytes <= 2 MB")
    for line, metric in zip(said, ("download_bytes", "peak_memory_bytes"), strict=True):
        assert f"no lower bound of {metric} is known beforehand" in line
    with pytest.raises(InfeasibleConstraint, match=r"peak_memory_bytes 0 bytes"):
        check("peak_memory_bytes <= 0 B")


def test_an_older_baseline_without_the_number_is_as_good_as_none() -> None:
    old = factories.measurement()
    relative = ("peak_memory_bytes <= baseline / 2", "peak_memory_bytes >= 1.5 x baseline")
    said = check(*relative, baseline=old)
    assert all("once the baseline is measured" in line for line in said)
    with pytest.raises(InfeasibleConstraint, match="contradict"):
        check(*relative, baseline=factories.measurement(peak_memory_bytes=10**7))


def test_without_techniques_that_shrink_the_bound_is_the_network_itself() -> None:
    convolutions = 3 * 9 * 16 + 6 * 9 * 16 * 16
    convolutions += 9 * 16 * 32 + 5 * 9 * 32 * 32 + 16 * 32
    convolutions += 9 * 32 * 64 + 5 * 9 * 64 * 64 + 32 * 64
    weights = convolutions + 640
    nodes = 22 * feasibility.NODE_BYTES
    whole = bounds({"distillation": {}})
    assert whole.parameters == weights
    assert whole.size_bytes == 4 * weights + nodes
    off = {"sparsity": {"sparsity": 0}, "weight_sharing": {"index_bits": 0}}
    assert bounds({**off, "low_rank": {"energy": 1.0}}) == whole


@pytest.mark.parametrize(
    "techniques",
    [
        {"quantization": {"weight_bits": 8}},
        {"quantization": {"weight_bits": 2}},
        {"sparsity": {}},
        {"sparsity": {"pattern": "2:4"}},
        {"weight_sharing": {"index_bits": [0, 2]}},
    ],
)
def test_chosen_values_may_take_a_ninth_of_a_bit_but_no_parameter_less(
    techniques: dict[str, object],
) -> None:
    whole, found = bounds({"distillation": {}}), bounds(techniques)
    coded = math.ceil(whole.parameters / 72) + 22 * feasibility.NODE_BYTES
    assert found.size_bytes == coded
    assert (found.parameters, found.macs) == (whole.parameters, whole.macs)


def test_files_that_were_measured_are_not_refused() -> None:
    # docs/storage.md: 268,336 weights, 4 bits with four of five pruned, and 2 bits.
    both: dict[str, object] = {"sparsity": {"sparsity": 0.8}, "quantization": {"weight_bits": 4}}
    assert check("size_bytes <= 47074", techniques=both)
    assert check("size_bytes <= 49118", techniques={"quantization": {"weight_bits": 2}})
    assert check("size_bytes <= 248913", techniques={"sparsity": {"sparsity": 0.8}})
    with pytest.raises(InfeasibleConstraint):
        check("size_bytes <= 4000", techniques=both)
    with pytest.raises(InfeasibleConstraint):
        check("size_bytes <= 1000 kB", techniques={"distillation": {}})


def test_split_layers_have_at_least_rank_one() -> None:
    found = bounds({"low_rank": {"energy": [0.9, 1.0]}})
    stem, linear = 16 + 3 + 9, 64 + 10
    first = 6 * (16 + 16 + 9)
    second = (32 + 16 + 9) + 5 * (32 + 32 + 9) + (32 + 16)
    third = (64 + 32 + 9) + 5 * (64 + 64 + 9) + (64 + 32)
    assert found.parameters == stem + first + second + third + linear
    assert 0 < found.macs < bounds({"distillation": {}}).macs
    assert found.size_bytes == 4 * found.parameters + 22 * feasibility.NODE_BYTES


def test_pruning_by_one_ratio_is_foreseen() -> None:
    half = bounds({"filter_pruning": {"ratios": 0.5}})
    assert bounds({"filter_pruning": {"scope": "uniform", "ratio": 0.5}}) == half
    off = bounds({"filter_pruning": {"scope": "uniform", "ratio": 0.0}})
    assert off == bounds({"distillation": {}})
    ranked = bounds({"filter_pruning": {"scope": "global", "ratio": 0.5}})
    target = bounds({"filter_pruning": {"target": "macs", "ratio": 0.5, "ratios": 0.5}})
    assert target.parameters < ranked.parameters < half.parameters
    most = bounds({"filter_pruning": {"scope": "global", "ratio": 0.5, "keep_at_least": 0.0}})
    assert most.parameters < target.parameters


def test_nobody_knows_how_an_uploaded_network_is_stored() -> None:
    spec = factories.spec(techniques={"distillation": {}}, model="network")
    uploaded = feasibility.lower_bounds(spec, build(spec, OUTLINE))
    assert uploaded.size_bytes < bounds({"distillation": {}}).size_bytes / 30
    assert uploaded.parameters == bounds({"distillation": {}}).parameters


def test_macs_are_those_of_the_fewest_views() -> None:
    whole = bounds({"distillation": {}})
    assert bounds({"mirroring": {}}) == whole
    assert bounds({"mirroring": {"flip": "horizontal"}}).macs == 2 * whole.macs
    assert bounds({"mirroring": {"flip": ["both", "vertical"]}}).macs == 2 * whole.macs


def test_wider_ranges_lower_the_bounds() -> None:
    some, more = bounds({"filter_pruning": {"ratios": [0, 0.3]}}), bounds({"filter_pruning": {}})
    assert more.size_bytes < some.size_bytes
    assert more.macs < some.macs
    assert bounds(ALL).parameters < bounds({"filter_pruning": {}}).parameters
