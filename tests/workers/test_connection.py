"""A worker waits for the service through outages, and says so once."""

import logging

import pytest

from compress.values.errors import Stopped
from featherweight.client.transport import RetryPolicy
from featherweight.errors import ApiError, ServiceUnavailable, StaleAttempt
from featherweight.specs.schemas import Problem
from tests.running import QUICK
from workers.connection import RetryingConnection
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
    connection = RetryingConnection(StopFlag(), retry=QUICK)
    assert connection.call(failing(2)) == "done"
    assert connection.call(failing(0)) == "done"
    assert [record.message for record in caplog.records] == [
        "the service is away, waiting for it: gone",
        "the service is back",
    ]


def test_a_refusal_is_an_answer():
    stale = StaleAttempt(Problem(title="t", status=409, code="StaleAttempt", detail="d"))
    with pytest.raises(StaleAttempt):
        RetryingConnection(StopFlag(), retry=QUICK).call(failing(1, error=stale))


PATIENT = RetryPolicy(attempts=None, base_seconds=0.0005, most_seconds=0.001)


def refusal(status, code):
    return ApiError(Problem(title="t", status=status, code=code, detail="d"))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalError"),
        (501, "HTTP 501"),
        (599, "HTTP 599"),
        (409, "FileBusy"),
        (404, "HTTP 404"),  # a proxy's page, not the service's word
        (403, "HTTP 403"),
    ],
)
def test_what_is_no_answer_of_the_service_is_waited_out_however_long_it_takes(status, code, caplog):
    connection = RetryingConnection(StopFlag(), retry=PATIENT)
    assert connection.call(failing(200, error=refusal(status, code))) == "done"
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert said == [f"the service is away, waiting for it: {code}: d"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (422, "RequestValidationError"),
        (404, "ArtifactNotFound"),
        (401, "NotAuthenticated"),
        (409, "FileMismatch"),
        (413, "FileTooLarge"),
        (500, "FileCorrupt"),
    ],
)
def test_what_the_service_has_looked_at_and_refused_is_an_answer(status, code):
    with pytest.raises(ApiError, match=code):
        RetryingConnection(StopFlag(), retry=PATIENT).call(failing(1, error=refusal(status, code)))


def test_something_else_is_done_while_an_outage_lasts():
    done = []
    connection = RetryingConnection(StopFlag(), retry=PATIENT, meanwhile=lambda: done.append(1))
    connection.call(failing(3))
    assert len(done) == 3


def test_a_stop_ends_the_waiting_but_a_last_word_is_tried_first():
    stop = StopFlag()
    stop.set("enough")
    assert RetryingConnection(stop).call(failing(0)) == "done"
    with pytest.raises(Stopped, match="enough"):
        RetryingConnection(stop).call(failing(1))


def test_the_flag_ends_a_wait_at_once():
    stop = StopFlag()
    assert stop.wait(0.01) is False
    stop.set("now")
    assert stop.wait(1000) is True
