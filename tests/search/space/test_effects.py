"""A technique that can never do anything is refused in words, and what is stored goes on."""

from __future__ import annotations

from typing import Any

import pytest

from compress.network.families.residual.config import Residual
from compress.techniques.registry import TECHNIQUES
from search.errors import InvalidSpace, TechniqueDoesNotFit
from search.space import space, validation
from tests import factories

NETWORK = Residual(widths=(4, 8), depths=(2, 2))


def refusal(techniques: dict[str, Any]) -> str:
    """Return why a job with these techniques is refused; empty if it is not."""
    built = space.build(factories.spec(techniques=techniques), factories.outline(NETWORK))
    try:
        validation.check_effects(built.concrete, built.techniques)
    except InvalidSpace as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize(
    ("technique", "fields", "way_out"),
    [
        ("filter_pruning", {"scope": "global"}, "give ratio other values than 0.0"),
        ("filter_pruning", {"scope": ["uniform", "global"]}, "give ratio other values than 0.0"),
        ("filter_pruning", {"target": "macs"}, "give ratio other values than 0.0"),
        ("filter_pruning", {"ratios": 0.0}, "give ratios other values than 0.0"),
        ("sparsity", {"sparsity": 0.0}, "give sparsity other values than 0.0 or pattern"),
        ("low_rank", {"energy": 1.0}, "give energy other values than 1.0 or size_ratio"),
    ],
)
def test_a_technique_that_can_do_nothing_is_refused(
    technique: str, fields: dict[str, Any], way_out: str
) -> None:
    why = refusal({"quantization": {}, technique: fields})
    assert why.startswith(f"{technique} leaves the network as it is in every candidate")
    assert way_out in why
    assert f"leave {technique} out" in why


def test_every_technique_as_it_is_does_something() -> None:
    of_images = [each.name for each in TECHNIQUES if "words" not in each.acts_on]
    assert refusal({name: {} for name in of_images}) == ""


def test_a_network_without_words_cannot_lose_any() -> None:
    with pytest.raises(TechniqueDoesNotFit, match="has no table of words: leave"):
        space.build(
            factories.spec(techniques={"vocabulary_pruning": {}}), factories.outline(NETWORK)
        )


@pytest.mark.parametrize(
    "fields",
    [
        {"scope": "global", "ratio": [0.2, 0.5]},
        {"scope": ["stage", "global"]},
        {"scope": "uniform", "ratio": {"low": 0.0, "high": 0.5}},
        {"target": "macs", "ratio": 0.5},
    ],
)
def test_one_candidate_with_an_effect_is_enough(fields: dict[str, Any]) -> None:
    assert refusal({"filter_pruning": fields}) == ""
