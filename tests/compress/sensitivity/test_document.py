"""Documents of profiles: a round trip, and what comes over HTTP is bounded and finite."""

from __future__ import annotations

import json
import math

import pytest
from pydantic import ValidationError

from compress.sensitivity import document
from compress.sensitivity.document import ProfileDocument
from tests import factories


def written(**changes):
    return json.loads(factories.profile_document().text()) | changes


def layer(**changes):
    return written()["layers"][0] | changes


def test_a_document_survives_its_own_text_with_its_digest():
    first = factories.profile_document(allowed_seconds=3, seconds=0.1)
    again = ProfileDocument.model_validate_json(first.text())
    assert again == first
    assert again.digest() == first.digest()
    through_json = ProfileDocument.model_validate(json.loads(json.dumps(again.model_dump())))
    assert through_json.digest() == first.digest()


def test_a_document_is_complete_when_every_probe_was_made():
    assert factories.profile_document(probes=30, planned=30).is_complete
    assert not factories.profile_document(probes=29, planned=30).is_complete


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 3}, "version"),
        ({"weights_sha256": "A" * 64}, "weights_sha256"),
        ({"layers": [layer()] * 2}, "every layer may stand in a profile once"),
        ({"layers": [layer(name=f"l{n}") for n in range(501)]}, "at most 500"),
        ({"layers": [layer(name="x" * 201)]}, "name"),
        ({"layers": [layer(weights=2**60)]}, "weights"),
        ({"layers": [layer(writes=64)]}, "writes"),
        ({"layers": [layer(points=[{"bits": 9, "damage": 0, "accuracy": 0}])]}, "bits"),
        ({"layers": [layer(points=layer()["points"][::-1])]}, "bits of 'conv1' must increase"),
        ({"stages": [{"stage": 0, "points": [{"ratio": 0, "damage": 0, "accuracy": 0}]}]}, "ratio"),
        ({"stages": [{"stage": 0, "points": []}] * 2}, "every stage may stand in a profile once"),
        ({"probes": 31}, "31 probes are more than the 30 planned"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_is_out_of_bounds_is_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        ProfileDocument.model_validate(written(**changes))


@pytest.mark.parametrize("damage", [math.nan, math.inf, -math.inf, -1e-9, 1.1e6])
def test_damages_are_finite_and_bounded(damage):
    points = [{"bits": 4, "damage": damage, "accuracy": 0.5}]
    with pytest.raises(ValidationError, match="damage"):
        ProfileDocument.model_validate(written(layers=[layer(points=points)]))


def test_the_largest_document_fits_into_a_request():
    names = [f"block{number:03d}.{'x' * 20}" for number in range(document.MOST_PARTS)]
    bits = [{"bits": b, "damage": 1.23456e-05, "accuracy": 0.123457} for b in range(1, 9)]
    ratios = [{"ratio": 0.1 * n, "damage": 1.23456e-05, "accuracy": 0.123457} for n in range(1, 9)]
    largest = ProfileDocument.model_validate(
        written(
            layers=[layer(name=name, points=bits) for name in names],
            groups=[{"root": n, "stage": 0, "channels": 4, "points": ratios} for n in names],
        )
    )
    assert len(largest.text()) < 0.9 * 1024**2
