"""Which weights members share, and what is said of them before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest

from compress.network.families import layout
from compress.network.families.catalog import Architecture
from compress.network.families.mobilenet_v2.config import MobileNetV2
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.residual.config import Residual
from compress.network.member import OPERATIONS, Shape
from compress.network.supernet.config import Elastic
from compress.techniques.candidate import Candidate
from featherweight.specs.job import JobSpec
from search.errors import SupernetDoesNotFit
from search.space import supernets
from search.space.problem import Networks, Problem
from search.space.space import Space, build
from search.space.supernets import EpochCosts
from tests import factories

NETWORK = Residual(widths=(8, 16), depths=(1, 3))
CELLS = NasBench201(channels=4, cells=(1, 1, 1))
TRAINED = {"epochs": 4}
NOW = {"supernet": TRAINED}


def built(member: dict[str, Any], network: Architecture = NETWORK, **changes: Any) -> Space:
    return build(asked(member, **changes), factories.outline(network))


def asked(member: dict[str, Any], **changes: Any) -> JobSpec:
    return factories.spec(techniques={"family_member": member}, **changes)


def check(spec: JobSpec, network: Architecture = NETWORK, own: Architecture = NETWORK) -> None:
    supernets.check_training(problem(spec, network, own))


def problem(spec: JobSpec, network: Architecture, own: Architecture) -> Problem:
    found = Networks(own=factories.outline(own), student=factories.outline(network))
    return Problem.compiled(spec, factories.dataset_info(), found)


def test_members_differ_in_what_the_search_may_turn_and_in_nothing_else() -> None:
    found = supernets.elastic(built({"width": [0.5, 1.0, 0.25], "depth": [3, 1]}, **NOW))
    assert found == Elastic(widths=(0.25, 0.5, 1.0), depths=(1, 3))


def test_a_fixed_dimension_has_one_value() -> None:
    found = supernets.elastic(built({"width": 0.5, "depth": 3}, **NOW))
    assert (found.widths, found.depths) == ((0.5,), (3,))


def test_members_at_nine_values_of_a_real_range_are_trained() -> None:
    found = supernets.elastic(built({"width": {"low": 0.2, "high": 1.0}}, **NOW))
    assert found.widths == (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def test_of_a_long_range_at_most_a_hundred_members_are_trained() -> None:
    steps = {"low": 0.1, "high": 1.0, "step": 0.001}
    widths = supernets.elastic(built({"width": steps}, **NOW)).widths
    assert (len(widths), widths[0], widths[-1]) == (100, 0.1, 1.0)
    assert list(widths) == sorted(set(widths))


def test_kernels_and_expansions_are_shared_where_the_family_varies_them() -> None:
    network = MobileNetV2(width=0.25, kernel=5)
    found = supernets.elastic(built({"expansion": [0.5, 1.0]}, network, **NOW))
    assert (found.kernels, found.expansions) == ((3, 5), (0.5, 1.0))
    plain = supernets.elastic(built({}, **NOW))
    assert plain == Elastic(widths=(0.5, 0.75, 1.0), depths=(1, 2, 3))


def test_every_edge_shares_the_operations_that_it_may_have() -> None:
    cell = ["none", "nor_conv_3x3", "skip_connect"]
    found = supernets.elastic(built({"cell": cell, "width": 1.0}, CELLS, **NOW))
    assert found.operations == (("nor_conv_3x3", "skip_connect", "none"),) * 6


def test_the_largest_member_is_a_step_that_takes_all_of_the_supernet() -> None:
    step = supernets.largest(supernets.elastic(built({"depth": [1, 3]}, **NOW)))
    assert (step.width, step.depth, step.weights) == (1.0, 3, "supernet")
    assert NETWORK.member(step.shape) == NETWORK
    assert Candidate(network=step).canonical().network == step


def test_the_largest_cell_has_the_most_costly_operation_on_every_edge() -> None:
    step = supernets.largest(supernets.elastic(built({"width": 1.0}, CELLS, **NOW)))
    assert step.cell == ("nor_conv_3x3",) * 6


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (1, (1,)),
        (2, (1, 2)),
        (8, (1, 2, 3, 4, 5, 6, 7, 8)),
        (10, (2, 3, 4, 5, 7, 8, 9, 10)),
        (1000, (125, 250, 375, 500, 625, 750, 875, 1000)),
    ],
)
def test_weights_are_kept_evenly_and_at_the_end(epochs: int, expected: tuple[int, ...]) -> None:
    assert supernets.checkpoints(epochs) == expected


def test_a_supernet_has_to_hold_the_largest_of_its_members() -> None:
    with pytest.raises(SupernetDoesNotFit, match=r"largest width of the supernet is 0\.5.*add 1"):
        check(asked({"width": [0.25, 0.5]}, **NOW))


def test_a_supernet_without_members_is_refused() -> None:
    with pytest.raises(SupernetDoesNotFit, match=r"supernet: .*no members but itself"):
        check(asked({"width": 1.0, "depth": 3}, **NOW))


def test_a_supernet_starts_from_the_baseline_only_where_it_is_the_same_network() -> None:
    student = NETWORK.model_copy(update={"widths": (16, 32)})
    spec = asked({}, supernet={"epochs": 1, "start": "baseline"}, student=student.model_dump())
    with pytest.raises(SupernetDoesNotFit, match="weights do not fit: start 'fresh'"):
        check(spec, student)
    check(spec, NETWORK)


def test_one_that_was_trained_before_is_not_asked_whether_it_can_be_trained() -> None:
    narrow = {"width": [0.25, 0.5]}
    check(asked(narrow, supernet={"epochs": 0, "model": "shared"}))
    check(asked(narrow))
    with pytest.raises(SupernetDoesNotFit):
        check(asked(narrow, supernet={"epochs": 1, "model": "shared"}))


def costs(
    spec: JobSpec, network: Architecture = NETWORK, own: Architecture = NETWORK
) -> EpochCosts:
    return supernets.costs(problem(spec, network, own))


def macs(network: Architecture) -> int:
    return layout.macs(network, in_channels=1, num_classes=2, height=8, width=8)


def test_an_epoch_of_a_supernet_costs_its_largest_its_smallest_and_two_between() -> None:
    most = macs(NETWORK)
    least = macs(NETWORK.member(Shape(width=0.5, depth=1)))
    found = costs(asked({"width": [0.5, 1.0], "depth": [1, 3]}, **NOW))
    assert found.member == 1.0
    assert found.supernet == pytest.approx(2 * (most + least) / most)


def test_an_epoch_of_a_student_is_measured_in_epochs_of_the_baseline() -> None:
    student = NETWORK.model_copy(update={"widths": (16, 32)})
    found = costs(asked({}, student=student.model_dump()), student)
    assert found == EpochCosts(member=macs(student) / macs(NETWORK), supernet=0.0)


def test_an_epoch_of_cells_costs_an_average_cell_and_no_sum_of_operations() -> None:
    spec = asked({"width": 1.0, "depth": 2}, student=CELLS.model_dump(), **NOW)
    found = costs(spec, CELLS)
    each = [macs(CELLS.member(Shape(cell=(name,) * 6))) for name in OPERATIONS]
    assert found.supernet == pytest.approx(sum(each) / len(each) / macs(NETWORK))
    assert found.member == pytest.approx(max(each) / macs(NETWORK))
    assert macs(CELLS) > max(each)


def seconds(*, left: float | None, speed: float | None = 100.0, supernet: float = 4.0) -> None:
    baseline = factories.measurement(train_images_per_second=speed)
    dataset = factories.dataset_info(splits={"train": 1000})
    asked = factories.problem(factories.spec(), dataset=dataset, baseline=baseline)
    supernets.check_seconds(asked, EpochCosts(supernet=supernet), left=left)


def test_seconds_that_are_not_enough_for_one_epoch_are_refused() -> None:
    with pytest.raises(SupernetDoesNotFit, match=r"about 40\.0 s .*, and 39\.0 s of budget") as e:
        seconds(left=39)
    assert "  " not in str(e.value)
    seconds(left=41)


def test_nothing_is_refused_where_no_speed_or_no_limit_is_known() -> None:
    seconds(left=None)
    seconds(left=1, speed=None)
    seconds(left=1, supernet=0)
    supernets.check_seconds(factories.problem(factories.spec()), EpochCosts(supernet=1), left=1)
    with pytest.raises(SupernetDoesNotFit):
        seconds(left=1)
