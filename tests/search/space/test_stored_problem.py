"""A job's networks as outlines, and a search of a network of no family."""

from __future__ import annotations

from typing import Any

import pytest

from compress.network.families.vgg_bn.config import VggBn
from compress.network.outline import Outline
from compress.network.sources.source import FamilySource
from search import sampling
from search.admission import bounds_filter
from search.errors import ImagesTooSmall, SupernetDoesNotFit, TechniqueDoesNotFit
from search.space import feasibility, input_checks, slack, stored_problem, supernets
from search.space.known_costs import KnownCosts
from search.space.problem import Networks, Problem
from search.space.space import build
from tests import factories

PRUNING = {"filter_pruning": {"scope": "uniform", "ratio": {"low": 0.0, "high": 0.5}}}


def no_family(**changes: Any) -> Outline:
    """The outline of the usual network as if it had come as a graph: no stages, no members."""
    whole = factories.outline()
    layers = tuple(layer.model_copy(update={"stage": None}) for layer in whole.layers)
    return whole.model_copy(update={"layers": layers, "blocks": (), "elastic": None, **changes})


def problem(techniques: dict[str, Any], own: Outline, **changes: Any) -> Problem:
    spec = factories.spec(techniques=techniques, **changes)
    return Problem.compiled(
        spec,
        factories.dataset_info(),
        Networks(own=own),
        baseline=factories.measurement(0.9, 4_000, parameters=1_000, macs=20_000),
    )


def test_a_network_of_no_family_is_searched() -> None:
    found = problem({**PRUNING, "quantization": {}}, no_family())
    names = {knob.name for knob in found.space.turning}
    assert names == {"filter_pruning.ratio", "quantization.weight_bits"}
    whole = KnownCosts(space=found.space).of(
        {"filter_pruning.ratio": 0.0, "quantization.weight_bits": 8}
    )
    folded = sum(
        layer.weight_shape[0] if layer.kind != "linear" else 0 for layer in found.outline.layers
    )
    assert whole["parameters"] == found.outline.parameters - folded
    assert feasibility.check(found) == ()
    assert slack.cautions(found) == ()
    input_checks.check_job(found)
    assert supernets.costs(found).member == 1.0
    assert sampling.trial_macs(found) == 3 * 80 * found.outline.macs
    rejecting = bounds_filter.of_problem(found)
    assert rejecting is None or rejecting.of_space.parameters > 0


def test_members_of_a_network_of_no_family_are_refused() -> None:
    with pytest.raises(TechniqueDoesNotFit, match="family_member: only a network of a family"):
        build(factories.spec(techniques={"family_member": {}}), no_family())


def test_its_members_may_be_those_of_a_student() -> None:
    spec = factories.spec(
        techniques={"family_member": {}},
        student=factories.ARCHITECTURE.model_dump(),
        supernet={"epochs": 1, "start": "baseline"},
    )
    found = Networks(own=no_family(), student=factories.outline())
    compiled = Problem.compiled(spec, factories.dataset_info(), found)
    assert compiled.outline == factories.outline()
    with pytest.raises(SupernetDoesNotFit, match="the baseline is a network of another"):
        supernets.check_training(compiled)


def test_values_per_stage_need_stages() -> None:
    with pytest.raises(TechniqueDoesNotFit, match=r"filter_pruning\.ratios holds one value per"):
        problem({"filter_pruning": {}}, no_family())


def test_images_that_such_a_network_cannot_read_are_refused_with_the_number() -> None:
    small = problem(PRUNING, no_family(least_input=16))
    with pytest.raises(ImagesTooSmall, match="8x8 pixels, and this network needs at least 16"):
        input_checks.check_job(small)


def test_a_jobs_networks_are_its_model_and_its_student() -> None:
    spec = factories.spec()
    data = factories.dataset_info()
    alone = stored_problem.networks_of(spec, None, data)
    assert (alone.own, alone.student) == (factories.outline(), None)
    student = factories.ARCHITECTURE.model_copy(update={"widths": (2, 4)})
    asked = factories.spec(student=student.model_dump(), techniques={"family_member": {}})
    both = stored_problem.networks_of(asked, None, data)
    assert (both.own, both.searched) == (factories.outline(), factories.outline(student))
    assert stored_problem.searched_source(asked, None) == FamilySource(student)


def test_a_network_that_cannot_be_laid_out_is_refused_with_its_place() -> None:
    data = factories.dataset_info(input_shape=(1, 32, 32))
    with pytest.raises(ImagesTooSmall, match=r"teacher: the images of 'digits' .* to 7x7"):
        stored_problem.outlined(FamilySource(VggBn(pool=7)), data, where="teacher", data="digits")
