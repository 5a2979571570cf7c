"""A candidate's choice of network, in documents and digests the step that it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from compress.techniques.candidate import Candidate
from compress.techniques.family_member.config import FamilyMember
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.quantization.config import Quantization

GOLDEN: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "golden" / "candidates-v1.json").read_text()
)
HALF, FEW_BITS = FamilyMember(width=0.5), Quantization(weight_bits=4)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["digest"][:8])
def test_a_stored_candidate_is_read_written_and_digested_as_before(case):
    read = Candidate.of_record(case["document"])
    assert read.digest() == case["digest"]
    assert read.describe() == case["words"]
    assert json.loads(read.model_dump_json()) == read.model_dump(mode="json") == case["written"]
    assert read.canonical().model_dump(mode="json") == case["canonical"]
    assert Candidate.of_record(case["written"]).digest() == case["digest"]


def test_the_member_of_a_document_is_the_choice_of_network():
    document = {"steps": [{"technique": "family_member", "width": 0.5}, FEW_BITS.model_dump()]}
    read = Candidate.model_validate(document)
    assert (read.network, read.steps) == (HALF, (FEW_BITS,))
    assert read == Candidate(network=HALF, steps=(FEW_BITS,))
    assert read == Candidate(steps=(HALF, FEW_BITS))
    assert read.configs == (HALF, FEW_BITS)
    assert Candidate.model_validate_json(read.model_dump_json()) == read


def test_a_choice_that_keeps_all_of_the_network_is_none():
    kept = Candidate(network=FamilyMember(), steps=(FEW_BITS,)).canonical()
    assert (kept.network, kept.steps) == (None, (FEW_BITS,))
    assert Candidate(network=FamilyMember()).digest() == Candidate().digest()


@pytest.mark.parametrize(
    "given",
    [
        {"steps": (FilterPruning(ratio=0.5), HALF)},
        {"steps": (HALF, HALF)},
        {"network": HALF, "steps": (HALF,)},
    ],
    ids=["after a step", "twice", "twice, once as a step"],
)
def test_a_network_is_chosen_once_and_first(given):
    with pytest.raises(ValidationError, match="steps must be distinct and in the order"):
        Candidate(**given)


def test_the_schema_of_a_candidate_is_that_of_its_document():
    for mode in ("validation", "serialization"):
        schema = Candidate.model_json_schema(mode=mode)
        assert list(schema["properties"]) == ["steps"]
        configs = schema["properties"]["steps"]["items"]["discriminator"]["mapping"]
        assert "family_member" in configs
        assert schema["title"] == "Candidate"
