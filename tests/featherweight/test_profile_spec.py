"""What a job may ask of a profile, and what is told where it may not."""

import pytest
from pydantic import ValidationError

from tests import factories

PROFILE = {"profile": {}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"techniques": {"family_member": {}}}, "family_member tries other networks: leave one"),
        ({"techniques": {"distillation": {}}}, r"list one of \['filter_pruning', 'quantization'\]"),
        (
            {"budget": {"trials": 3}, "finish": {"trials": 1}},
            "a baseline, a profile and a search trial beside the 1 of finish, got 3",
        ),
        ({"profile": {"share": 0}}, "share"),
        ({"profile": {"share": 1.5}}, "share"),
        ({"profile": {"images": 15}}, "images"),
        ({"profile": {"split": "test"}}, "split"),
        ({"warm_start": {"auto": True}}, "let allocate be false, or leave warm_start out"),
    ],
)
def test_what_a_profile_cannot_do_is_refused_with_the_way_out(changes, words):
    with pytest.raises(ValidationError, match=words):
        factories.spec(**(PROFILE | changes))


def test_the_profiles_trial_is_one_of_the_budget():
    budget = {"budget": {"trials": 7}}
    assert factories.spec(**budget).search_trials == 5
    assert factories.spec(**budget, **PROFILE).search_trials == 4


def test_a_profile_that_allots_nothing_stands_beside_a_warm_start():
    found = factories.spec(profile={"allocate": False}, warm_start={"auto": True})
    assert found.profile is not None
    assert (found.profile.share, found.profile.images, found.profile.allocate) == (0.1, 512, False)
