"""Named controls are what they say: everything that they are not about is off."""

from __future__ import annotations

import pytest

from compress.network.families.residual.config import Residual
from search.space import space
from search.space.space import Space
from search.study.job_search import JobSearch
from tests import factories

NETWORK = Residual(widths=(16, 32, 64), depths=(2, 3, 2))
EVERYTHING = (
    "family_member",
    "filter_pruning",
    "low_rank",
    "distillation",
    "sparsity",
    "weight_sharing",
    "quantization",
)


def build(techniques: dict[str, object]) -> Space:
    return space.build(factories.spec(techniques=techniques), factories.outline(NETWORK))


def described(found: Space) -> dict[str, str]:
    return {name: found.candidate(params).describe() for name, params in found.controls()}


def test_with_every_technique_the_controls_do_what_their_names_say() -> None:
    found = described(build({name: {} for name in EVERYTHING}))
    assert found["uniform 8-bit"] == "distil T=4 w=0.5 + w8a8"
    assert found["uniform pruning"] == "prune 0.5/0.5/0.5 + distil T=4 w=0.5 + w8a8"
    assert found["narrower member"] == "width 0.5 depth 3 + distil T=4 w=0.5 + w8a8"


def test_uniform_pruning_also_has_a_ratio_for_the_whole_network() -> None:
    pruning = {"scope": "uniform", "ratio": {"low": 0.0, "high": 0.8, "step": 0.1}}
    found = described(build({"filter_pruning": pruning, "quantization": {}}))
    assert found["uniform 8-bit"] == "w8a8"
    assert found["uniform pruning"] == "prune 0.5 uniform + w8a8"


def test_what_a_range_cannot_switch_off_is_as_little_as_it_can_be() -> None:
    found = described(build({"sparsity": {"sparsity": [0.3, 0.6]}, "quantization": {}}))
    assert found["uniform 8-bit"] == "30% zeros + w8a8"


@pytest.mark.parametrize(
    ("asked", "trials", "expected"),
    [
        (False, 31, 0),
        (True, 31, 3),
        (True, 8, 2),
        ({"random": 0.0}, 31, 3),
        ({"random": 0.2}, 31, 3 + 5 - 1),
        ({"random": 0.5}, 8, 2 + 3 - 1),
    ],
)
def test_a_share_of_the_search_trials_may_be_random(
    asked: object, trials: int, expected: int
) -> None:
    """Of the trials one is the baseline and one is for finish."""
    spec = factories.spec(controls=asked, budget={"trials": trials})
    opened = JobSearch(
        bounds=None,
        problem=factories.problem(spec, own=NETWORK),
        study=None,
    )
    found = opened.controls
    assert len(found) == expected
    assert opened.controls == found
    digests = [opened.problem.space.candidate(params).digest() for params in found]
    assert len(set(digests)) == len(digests)


def test_a_share_above_a_half_is_refused() -> None:
    with pytest.raises(ValueError, match=r"less than or equal to 0\.5"):
        factories.spec(controls={"random": 0.6})
