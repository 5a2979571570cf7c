"""Allotments: within their budget, uniform or free, and gentle where the profile says so."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from compress.sensitivity.document import ProfileDocument
from search.allocation.allotment import Allotter, Choices
from tests import factories

RATIOS = tuple(round(0.1 * step, 1) for step in range(8))
PROFILE = factories.profile_document()
SHARES = (0.25, 0.12, 0.06, 0.03, 0.015)
TENTHS = (0.0, 0.3, 0.7, 1.0)


def allotter(profile: ProfileDocument = PROFILE, **changes: Any) -> Allotter:
    fields: dict[str, Any] = {"ratios": (RATIOS, RATIOS), "bits": (2, 4, 8), "axis": "bytes"}
    return Allotter(profile=profile, choices=Choices(**(fields | changes)))


def without_points(name: str) -> ProfileDocument:
    layers = [
        layer.model_copy(update={"points": ()}) if layer.name == name else layer
        for layer in PROFILE.layers
    ]
    return PROFILE.model_copy(update={"layers": tuple(layers)})


def test_every_allotment_is_within_its_budget_where_that_can_be_reached() -> None:
    found = allotter()
    for share, pruning, sharpness in itertools.product(SHARES, TENTHS, TENTHS):
        if share > found.least * 1.5:
            got = found.allot(share, pruning=pruning, sharpness=sharpness, edges_8bit=False)
            assert got.share <= share * (1 + 1e-9), (share, pruning, sharpness)


def test_more_budget_never_costs_damage_and_more_freedom_neither() -> None:
    found = allotter()
    by_budget = [found.allot(share, pruning=0.0, sharpness=1.0).damage for share in SHARES[:3]]
    assert by_budget == sorted(by_budget)
    by_freedom = [found.allot(0.1, pruning=0.0, sharpness=s).damage for s in TENTHS]
    assert by_freedom == sorted(by_freedom, reverse=True)


def test_without_sharpness_all_stages_and_all_layers_are_alike() -> None:
    got = allotter().allot(0.06, pruning=0.5, sharpness=0.0, edges_8bit=False)
    assert len(set(got.ratios)) == 1
    assert len(set(got.bits.values())) == 1


def test_pruning_says_who_makes_the_network_small() -> None:
    bits_only, both, ratios_only = (
        allotter().allot(0.1, pruning=way, sharpness=1.0) for way in (0.0, 0.5, 1.0)
    )
    assert set(bits_only.ratios) == {0.0}
    assert set(ratios_only.bits.values()) == {8}
    assert sum(bits_only.ratios) < sum(both.ratios) < sum(ratios_only.ratios)


def test_what_matters_less_loses_more() -> None:
    got = allotter().allot(0.08, pruning=0.6, sharpness=1.0)
    assert got.ratios[1] > got.ratios[0]
    assert got.bits["layer2.0.conv2"] <= got.bits["layer1.0.conv1"]


def test_the_first_and_the_last_layer_keep_8_bits_if_the_job_says_so() -> None:
    kept = allotter().allot(0.05, pruning=0.0, sharpness=1.0, edges_8bit=True)
    assert (kept.bits["conv1"], kept.bits["linear"]) == (8, 8)
    free = allotter().allot(0.05, pruning=0.0, sharpness=1.0, edges_8bit=False)
    assert min(free.bits["conv1"], free.bits["linear"]) < 8


def test_what_was_not_probed_is_left_alone() -> None:
    got = allotter(without_points("layer2.0.conv2")).allot(0.04, pruning=0.0, sharpness=1.0)
    assert got.bits["layer2.0.conv2"] == 8
    blind = PROFILE.model_copy(
        update={"stages": tuple(s.model_copy(update={"points": ()}) for s in PROFILE.stages)}
    )
    assert allotter(blind).allot(0.02, pruning=1.0, sharpness=1.0).ratios == (0.0, 0.0)


def test_floats_are_only_pruned() -> None:
    got = allotter(bits=(32,)).allot(0.3, pruning=0.0, sharpness=1.0)
    assert set(got.bits.values()) == {32}
    assert max(got.ratios) > 0
    assert got.share <= 0.3


def test_multiply_accumulates_are_saved_by_ratios_alone() -> None:
    got = allotter(axis="macs").allot(0.4, pruning=0.0, sharpness=1.0)
    assert got.share <= 0.4
    assert max(got.ratios) > 0


def test_the_estimate_of_bytes_is_weights_times_bits() -> None:
    got = allotter().allot(1.0, pruning=0.0, sharpness=0.0)
    assert set(got.bits.values()) == {8}
    assert got.share == pytest.approx(0.25)
