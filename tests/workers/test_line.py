"""A worker waits for the service through outages, and says so once."""

import logging

import pytest

from compress.errors import Stopped
from featherweight.errors import ApiError, ServiceUnavailable, StaleAttempt
from featherweight.specs.schemas import Problem
from featherweight.transport import RetryPolicy
from tests.running import QUICK
from workers.line import Line
from workers.stopping import StopFlag


def failing(times, *, then="done", error=None):
    left = [times]

    def do():
        if left[0] > 0:
            left[0] -= 1
            raise error or ServiceUnavailable("gone")
        return then

    return do


def test_an_outage_is_waited_out_and_told_once(caplog):
    caplog.set_level(logging.INFO)
    line = Line(StopFlag(), retry=QUICK)
    assert line.call(failing(2)) == "done"
    assert line.call(failing(0)) == "done"
    assert [record.message for record in caplog.records] == [
        "the service is away, waiting for it: gone",
        "the service is back",
    ]


def test_a_refusal_is_an_answer():
    stale = StaleAttempt(Problem(title="t", status=409, code="StaleAttempt", detail="d"))
    with pytest.raises(StaleAttempt):
        Line(StopFlag(), retry=QUICK).call(failing(1, error=stale))


def test_a_mistake_inside_the_service_is_tried_again_but_not_for_ever():
    mistake = ApiError(Problem(title="t", status=500, code="InternalError", detail="d"))
    patient = RetryPolicy(attempts=None, base_seconds=0.001, most_seconds=0.002)
    line = Line(StopFlag(), retry=patient)
    assert line.call(failing(3, error=mistake)) == "done"
    with pytest.raises(ApiError, match="InternalError"):
        line.call(failing(1000, error=mistake))


def test_a_stop_ends_the_waiting_but_a_last_word_is_tried_first():
    stop = StopFlag()
    stop.set("enough")
    assert Line(stop).call(failing(0)) == "done"
    with pytest.raises(Stopped, match="enough"):
        Line(stop).call(failing(1))


def test_the_flag_ends_a_wait_at_once():
    stop = StopFlag()
    assert stop.wait(0.01) is False
    stop.set("now")
    assert stop.wait(1000) is True
