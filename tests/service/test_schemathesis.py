"""The OpenAPI document is held against the running service by a program that does not know it."""

import pytest

from service.app import create_app
from tests.service import contract

pytestmark = pytest.mark.proof


@pytest.mark.timeout(900)
def test_every_answer_is_one_that_the_document_promises(tmp_path):
    operations = sum(map(len, create_app().openapi()["paths"].values()))
    with contract.furnished(tmp_path) as place:
        outcome = contract.run(place, examples=2, seed=1)
    assert outcome.status == 0, outcome.words
    assert f"Tested: {operations}" in outcome.words
