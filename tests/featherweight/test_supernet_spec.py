"""What a job may ask of a student and of a supernet, and what is told where it may not."""

import pytest
from pydantic import ValidationError

from tests import factories

STUDENT = {"family": "residual", "widths": [8, 16], "depths": [1, 1]}
MEMBER = {"techniques": {"family_member": {}}}
TRAINED = {"epochs": 2}


def weights(*choices):
    return {"techniques": {"family_member": {"weights": list(choices)}}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"student": STUDENT}, "be a member of the student: list family_member"),
        ({"supernet": TRAINED}, "be a member of the supernet: list family_member"),
        (MEMBER | {"supernet": {"epochs": 0}}, "epochs must be at least 1 where no model"),
        (
            MEMBER | {"supernet": {"epochs": 1, "model": "shared", "start": "baseline"}},
            "either from the model 'shared' or from the baseline",
        ),
        (weights("supernet"), "weights can be 'supernet': give the job a supernet"),
        (weights("inherited") | {"student": STUDENT}, "cannot be 'inherited' where the members"),
        (weights("inherited", "fresh") | {"supernet": TRAINED}, "no candidate would use the sup"),
        (
            MEMBER | {"supernet": TRAINED, "budget": {"trials": 3}, "finish": {"trials": 1}},
            "a baseline, a supernet and a search trial beside the 1 of finish, got 3",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused_with_the_way_out(changes, words):
    with pytest.raises(ValidationError, match=words):
        factories.spec(**changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"student": STUDENT}, ("fresh",)),
        ({"supernet": TRAINED}, ("supernet",)),
        ({"student": STUDENT, "supernet": TRAINED}, ("supernet",)),
        (weights("inherited", "supernet") | {"supernet": TRAINED}, ("inherited", "supernet")),
    ],
)
def test_a_member_has_the_weights_that_the_job_leaves_it(changes, expected):
    found = factories.spec(**(MEMBER | changes)).ranges["family_member"].get("weights")
    assert (found and found.choices) == expected


def test_the_supernets_trial_is_one_of_the_budget():
    budget = {"budget": {"trials": 7}}
    assert factories.spec(**budget).search_trials == 5
    assert factories.spec(**MEMBER, **budget, supernet=TRAINED).search_trials == 4
    ready = factories.spec(**MEMBER, **budget, supernet={"epochs": 0, "model": "shared"})
    assert (ready.search_trials, ready.trains_supernet) == (5, False)
