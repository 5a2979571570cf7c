"""What drills and comparisons call a loss, and what they do not mind."""

import pytest

from benchmarks.cluster.compose import checks
from benchmarks.cluster.compose.drills import DRILLS, OF_TWO_VERSIONS
from benchmarks.cluster.compose.stack import until
from benchmarks.record import ROOT
from benchmarks.same_as import expected
from benchmarks.same_as.comparing import lost

BEFORE = {"a": {"state": "complete", "rungs": [{"epochs": 1}]}}


def test_what_is_new_beside_what_was_told_is_no_loss():
    now = {"a": BEFORE["a"] | {"figures": {}}, "b": {"state": "running"}}
    checks.kept(BEFORE, now)
    assert list(lost(BEFORE, now, "trials")) == []
    assert list(lost(now, BEFORE, "trials")) != []


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({}, r"trials\.a: '<nothing>', expected"),
        ({"a": {"state": "complete"}}, r"\.a\.rungs: '<nothing>', expected"),
        ({"a": BEFORE["a"] | {"state": "stopped"}}, r"\.a\.state: 'stopped', expected 'complete'"),
        ({"a": BEFORE["a"] | {"rungs": []}}, r"\.a\.rungs: \[\], expected"),
        ({"a": BEFORE["a"] | {"rungs": [{"epochs": 2}]}}, r"\.rungs\[0\]\.epochs: 2, expected 1"),
    ],
)
def test_what_was_told_and_is_not_told_now_is_named(now, words):
    with pytest.raises(AssertionError, match=words):
        checks.kept(BEFORE, now)


def test_a_wait_gives_what_it_waited_for_or_an_error():
    assert until(lambda: "ready", seconds=1) == "ready"
    with pytest.raises(TimeoutError, match=r"nothing within 0\.01 s"):
        until(lambda: "", seconds=0.01)


def test_drills_of_two_versions_are_drills():
    assert set(DRILLS) > OF_TWO_VERSIONS


def test_every_expected_difference_names_a_topic_a_path_and_a_reason():
    found = expected.read(ROOT / "benchmarks" / "same_as" / "since_0.1.0.json")
    assert len(found) > 30
    for each in found:
        topic, _, path = each.place.partition(": ")
        assert topic, each
        assert path, each
        assert each.reason, each
