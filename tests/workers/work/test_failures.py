"""Exceptions and exit statuses become classes of failure."""

import signal

import pytest
import torch

from compress.values import errors as compress_errors
from featherweight import errors
from featherweight.specs.schemas import Problem
from featherweight.specs.states import FailureClass
from workers import exits
from workers.work import failures

DAMAGED = Problem(title="t", status=422, code="DigestMismatch", detail="other bytes arrived")
PROBLEM = Problem(title="t", status=413, code="FileTooLarge", detail="too large")


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (compress_errors.InvalidCandidate("no"), "invalid_candidate"),
        (compress_errors.NumericalError("NaN"), "numerical"),
        (compress_errors.ExportParityError("differs"), "export_parity"),
        (compress_errors.TargetParityError("differs in 1.32"), "target_parity"),
        (errors.ServiceUnavailable("gone"), "infrastructure"),
        (errors.DigestMismatch("other bytes"), "infrastructure"),
        (errors.FileLost("0" * 64, "the file is gone"), "file_lost"),
        (errors.Invalid(DAMAGED), "infrastructure"),
        (OSError(28, "No space left on device"), "infrastructure"),
        (compress_errors.InvalidWeights("no"), "bug"),
        (errors.TooLarge(PROBLEM), "bug"),
        (ZeroDivisionError("division by zero"), "bug"),
    ],
)
def test_an_exception_has_a_class_and_is_told(error, name):
    failure = failures.of(error)
    assert failure.failure_class == name
    assert type(error).__name__ in failure.message
    assert str(error) in failure.message


def test_only_a_lost_file_is_named():
    assert failures.of(errors.FileLost("0" * 64, "gone")).file == "0" * 64
    assert failures.of(OSError("no")).file is None


def test_what_torch_says_when_the_cpu_has_no_memory_left_is_out_of_memory():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60)
    assert failures.failure_class(raised.value) is FailureClass.OUT_OF_MEMORY


def test_a_bug_shows_where_it_happened_and_stays_short():
    def wrong():
        raise ValueError("x" * 10_000)

    with pytest.raises(ValueError, match="xxx") as raised:
        wrong()
    assert len(failures.of(raised.value).message) <= 3500
    with pytest.raises(KeyError) as raised:
        {}["missing"]
    assert "test_failures.py" in failures.of(raised.value).message


@pytest.mark.parametrize(
    ("status", "name", "words"),
    [
        (-signal.SIGSEGV, "bug", "SIGSEGV"),
        (-signal.SIGABRT, "bug", "SIGABRT"),
        (-signal.SIGKILL, "infrastructure", "SIGKILL"),
        (-signal.SIGTERM, "infrastructure", "SIGTERM"),
        (1, "infrastructure", "exit status 1"),
    ],
)
def test_an_exit_status_has_a_class(status, name, words):
    failure = exits.failure(status, oom_kills_before=exits.oom_kills())
    assert failure.failure_class == name
    assert words in failure.message


def test_a_kill_that_the_kernel_counted_is_out_of_memory():
    failure = exits.failure(-signal.SIGKILL, oom_kills_before=exits.oom_kills() - 1)
    assert failure.failure_class is FailureClass.OUT_OF_MEMORY
