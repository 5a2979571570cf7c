"""Candidates of users, held against the space and the network of a job."""

import pytest

from compress.techniques.candidate import Candidate
from search.errors import CandidateDoesNotFit, ImagesTooSmall, SearchError, TechniqueDoesNotFit
from search.queue import proposals
from search.space.space import build
from tests import factories

EVERYTHING = {
    "family_member": {},
    "filter_pruning": {},
    "distillation": {},
    "sparsity": {},
    "quantization": {"weight_bits": [4, 8]},
}


def space_of(**changes):
    spec = factories.spec(**({"techniques": EVERYTHING} | changes))
    return build(spec, factories.outline()), spec


def small():
    techniques = {"filter_pruning": {}, "quantization": {"weight_bits": [4, 8]}}
    return space_of(techniques=techniques)


def steps(*found):
    return Candidate.model_validate({"steps": found}).configs


def prune(*ratios, **more):
    return {"technique": "filter_pruning", "ratios": ratios, **more}


QUANTIZE = {"technique": "quantization", "weight_bits": 4}


def of_steps(*found, **changes):
    _, spec = space_of(**changes)
    return proposals.of_steps(factories.problem(spec), steps(*found))


def test_values_of_knobs_are_the_candidate_that_the_space_makes_of_them():
    space, _ = small()
    params = {
        "filter_pruning.ratios.0": 0.3,
        "filter_pruning.ratios.1": 0,
        "quantization.weight_bits": 4,
    }
    found = proposals.of_params(space, params)
    assert found.candidate == space.candidate(params)
    assert found.params == params


def test_binary_noise_is_not_another_value():
    space, _ = small()
    params = proposals.nearest(space, Candidate()) | {"filter_pruning.ratios.0": 0.1 + 0.2}
    assert proposals.of_params(space, params).params["filter_pruning.ratios.0"] == 0.3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"filter_pruning.ratios.0": 0.35}, "in steps of 0.1, got 0.35; the nearest is 0.3"),
        ({"filter_pruning.ratios.0": 0.8}, "within 0 and 0.7, got 0.8"),
        ({"filter_pruning.ratios.0": "half"}, "within 0 and 0.7, got 'half'"),
        ({"filter_pruning.ratios.0": True}, "within 0 and 0.7, got True"),
        ({"quantization.weight_bits": 5}, r"one of \[4, 8\], got 5"),
        ({"quantization.bits": 4}, "no knob 'quantization.bits'; it has"),
    ],
)
def test_a_value_that_no_knob_has_is_refused_with_what_it_may_be(change, words):
    space, _ = small()
    base = {"filter_pruning.ratios.0": 0.3, "filter_pruning.ratios.1": 0.3}
    with pytest.raises(CandidateDoesNotFit, match=words):
        proposals.of_params(space, base | {"quantization.weight_bits": 4} | change)


def test_every_knob_that_turns_needs_a_value_and_a_fixed_one_its_own():
    space, _ = space_of(techniques={"filter_pruning": {"importance": "l1"}, "quantization": {}})
    params = {"filter_pruning.ratios.0": 0.3, "filter_pruning.importance": "l1"}
    with pytest.raises(CandidateDoesNotFit, match=r"a value for .*filter_pruning\.ratios\.1"):
        proposals.of_params(space, params)
    whole = proposals.nearest(space, Candidate()) | params
    assert proposals.of_params(space, whole).candidate.steps[0].importance == "l1"
    with pytest.raises(CandidateDoesNotFit, match="importance is one of"):
        proposals.of_params(space, whole | {"filter_pruning.importance": "l2"})


def test_steps_that_the_space_has_come_with_their_knobs():
    found = of_steps(prune(0.3, 0.5), QUANTIZE)
    space, _ = space_of()
    assert found.params is not None
    assert space.candidate(found.params) == found.candidate
    assert found.params["filter_pruning.ratios.1"] == 0.5


@pytest.mark.parametrize(
    "odd", [prune(0.33, 0.5), prune(0.3, 0.5, importance="lamp"), prune(0.9, 0.1)]
)
def test_steps_between_the_values_of_the_space_are_candidates_outside_of_it(odd):
    found = of_steps(odd, QUANTIZE)
    assert found.params is None
    assert found.candidate.configs == steps(odd, QUANTIZE | {"short_scales": True})


def test_what_a_step_leaves_unsaid_is_as_the_job_has_it_and_what_it_says_stays():
    assert of_steps(QUANTIZE).candidate.steps[0].short_scales
    free = of_steps(QUANTIZE | {"short_scales": False})
    assert not free.candidate.steps[0].short_scales
    assert free.params is None


@pytest.mark.parametrize(
    ("found", "error", "words"),
    [
        ([prune(0.3)], CandidateDoesNotFit, "ratios has 1 values, and the network has 2 stages"),
        ([prune(0.3, 0.3, exclude="head")], TechniqueDoesNotFit, "pattern 'head' matches no layer"),
        ([{"technique": "low_rank", "energy": 0.5}], CandidateDoesNotFit, "low_rank is not among"),
        ([prune(0.0, 0.0)], CandidateDoesNotFit, "as it is, and that is the baseline"),
        ([{"technique": "family_member", "depth": 1}], CandidateDoesNotFit, "the baseline"),
        ([{"technique": "family_member", "depth": 5}], TechniqueDoesNotFit, "asks for 5 blocks"),
        ([{"technique": "family_member", "kernel": 3}], TechniqueDoesNotFit, "leave kernel out"),
        (
            [{"technique": "family_member", "width": 0.5, "weights": "supernet"}],
            CandidateDoesNotFit,
            "the job has no supernet",
        ),
        (
            [{"technique": "distillation", "teacher": "uploaded"}, QUANTIZE],
            CandidateDoesNotFit,
            "the job names no teacher",
        ),
        (
            [{"technique": "family_member", "cell": ["none", "none"]}],
            CandidateDoesNotFit,
            "cell has 2 values, and the network has 0 edges",
        ),
    ],
)
def test_what_the_job_cannot_try_is_refused_with_the_reason(found, error, words):
    with pytest.raises(error, match=words):
        of_steps(*found)


def test_a_member_too_coarse_for_the_images_is_refused():
    with pytest.raises((ImagesTooSmall, SearchError)):
        of_steps({"technique": "family_member", "width": 0.5, "resolution": 1})


def test_the_nearest_point_of_another_space_keeps_what_it_can():
    space, _ = small()
    asked = Candidate(steps=steps(prune(0.34, 0.95), {**QUANTIZE, "weight_bits": 5}))
    assert proposals.nearest(space, asked) == {
        "filter_pruning.ratios.0": 0.3,
        "filter_pruning.ratios.1": 0.7,
        "quantization.weight_bits": 4,
    }


def test_a_technique_that_is_no_step_is_switched_off():
    space, _ = space_of()
    params = proposals.nearest(space, Candidate(steps=steps(QUANTIZE)))
    assert [step.technique for step in space.candidate(params).configs] == ["quantization"]


def test_the_values_of_a_candidate_are_those_that_are_not_as_usual():
    asked = Candidate(steps=steps(prune(0.3, 0.5), {"technique": "quantization"}))
    assert proposals.values(asked) == {
        "filter_pruning.ratios.0": 0.3,
        "filter_pruning.ratios.1": 0.5,
    }
