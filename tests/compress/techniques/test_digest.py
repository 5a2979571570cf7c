"""Digests of candidates do not change with versions: stored ones must be found again."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from compress.techniques.candidate import Candidate

GOLDEN = {
    "4430e7786edc0f8419f02e909c15422ebf572287a58132d8f6f33250ce053121": [],
    "0f1de64d1ae6be032e5a33e37498fb9e9e67270e9727f34b3cde00505c16b7a6": [
        {"technique": "family_member", "width": 0.5, "depth": 2}
    ],
    "53daf0047737883ef28c091de54b0ed2212d09608c3cb0a3809b9825de25b9f0": [
        {"technique": "filter_pruning", "ratios": [0.5, 0.25], "importance": "l2", "round_to": 2}
    ],
    "0da0e467254469921c8521ff3afd18f01a5dee3733091d0a64d9d263c15f9f12": [
        {"technique": "distillation", "temperature": 2.0, "weight": 0.5}
    ],
    "e63795cbc2137f7625bba0bb46450b195debe6393e47bb9381d07583725a5ba0": [
        {
            "technique": "quantization",
            "weight_bits": 4,
            "edges_8bit": True,
            "calibration_images": 256,
        }
    ],
    "5040c9988f60782ce3d0f30e522f425139ce3b422f69d68f9741052f82b12743": [
        {"technique": "quantization", "weight_bits": 8}
    ],
}
"""Every field is written out that the first version had."""


DIGESTS_OF_OLD = {
    "int8": "14a639e1f0bd3ec5553db63ec39003d80db9f71b8204070eeaacbc8282c9b568",
    "float": "8f20a41269d4a7836bf182d2369705a611a48aa7b4e297b8e4a008e8d71a0841",
}
"""Of 6 bits, as they were while free scales were the default."""


def candidate(steps):
    return Candidate.model_validate({"steps": steps})


@pytest.mark.parametrize(("digest", "steps"), GOLDEN.items())
def test_a_digest_is_what_it_was_in_the_first_version(digest, steps):
    assert Candidate.of_record({"steps": steps}).digest() == digest


@pytest.mark.parametrize("activations", ["int8", "float"])
def test_a_default_that_changed_has_changed_no_digest(activations):
    step = {"technique": "quantization", "weight_bits": 6, "activations": activations}
    step |= {"activation_observer": "minmax"}
    now, free = candidate([step]), candidate([step | {"short_scales": False}])
    old = Candidate.of_record({"steps": [step]})
    assert (now.steps[0].short_scales, old.steps[0].short_scales) == (True, False)
    assert old.digest() == free.digest() == DIGESTS_OF_OLD[activations]
    # Scales of float activations have no use for it: both are one candidate.
    assert (now.digest() == old.digest()) == (activations == "float")


def test_the_observer_of_activations_was_minmax_first():
    step = {"technique": "quantization", "weight_bits": 6, "short_scales": False}
    now, widest = candidate([step]), candidate([step | {"activation_observer": "minmax"}])
    old = Candidate.of_record({"steps": [step]})
    assert (now.steps[0].activation_observer, old.steps[0].activation_observer) == ("mse", "minmax")
    assert old.digest() == widest.digest() == DIGESTS_OF_OLD["int8"] != now.digest()
    assert candidate([step | {"activations": "float"}]).digest() == DIGESTS_OF_OLD["float"]


def test_a_record_is_read_as_it_was_written():
    written = candidate([{"technique": "quantization"}])
    assert Candidate.of_record(written.model_dump(mode="json")) == written


@pytest.mark.parametrize(
    "steps", [[{"weight_bits": 4}], [{"technique": "magic"}], ["magic"], "magic", 5, None]
)
def test_a_record_that_holds_no_candidate_is_refused(steps):
    with pytest.raises(ValidationError):
        Candidate.of_record({"steps": steps})


def test_a_field_at_its_default_and_one_left_out_are_the_same_candidate():
    short = candidate([{"technique": "filter_pruning", "ratios": [0.5]}])
    full = short.model_dump(mode="json")
    assert len(full["steps"][0]) > 2
    assert Candidate.model_validate(full).digest() == short.digest()


@pytest.mark.parametrize(
    "change", [{"ratios": [0.5, 0.2]}, {"ratios": [0.4]}, {"importance": "l1"}, {"round_to": 4}]
)
def test_any_other_value_is_another_candidate(change):
    step = {"technique": "filter_pruning", "ratios": [0.5]}
    assert candidate([step | change]).digest() != candidate([step]).digest()


def test_techniques_at_their_defaults_are_told_apart():
    defaults = [[{"technique": "quantization"}], [{"technique": "distillation"}]]
    assert len({candidate(steps).digest() for steps in defaults}) == 2
