"""Classify the exceptions of a trial into failure classes, by one table."""

from __future__ import annotations

import traceback

import torch

from compress.values import errors as compress_errors
from featherweight import errors
from featherweight.specs.protocol import Failure
from featherweight.specs.states import FailureClass

_TABLE: tuple[tuple[type[BaseException], FailureClass], ...] = (
    (MemoryError, FailureClass.OUT_OF_MEMORY),
    (torch.OutOfMemoryError, FailureClass.OUT_OF_MEMORY),
    (compress_errors.InvalidCandidate, FailureClass.INVALID_CANDIDATE),
    (compress_errors.NumericalError, FailureClass.NUMERICAL),
    (compress_errors.ExportParityError, FailureClass.EXPORT_PARITY),
    (compress_errors.TargetParityError, FailureClass.TARGET_PARITY),
    (errors.ServiceUnavailable, FailureClass.INFRASTRUCTURE),
    (errors.DigestMismatch, FailureClass.INFRASTRUCTURE),
    (errors.FileLost, FailureClass.FILE_LOST),
    (OSError, FailureClass.INFRASTRUCTURE),
)
# torch's allocator on the CPU raises a plain RuntimeError.
_CPU_ALLOCATOR = "DefaultCPUAllocator"
_TAIL_CHARACTERS = 3500
_LONGEST_MESSAGE = 4000


def failure_class(error: BaseException) -> FailureClass:
    """Return the class of the first matching line of the table, or ``bug``."""
    if isinstance(error, RuntimeError) and _CPU_ALLOCATOR in str(error):
        return FailureClass.OUT_OF_MEMORY
    if isinstance(error, errors.ApiError) and error.code == errors.DAMAGED:
        return FailureClass.INFRASTRUCTURE
    return next((name for kind, name in _TABLE if isinstance(error, kind)), FailureClass.BUG)


def of(error: BaseException) -> Failure:
    """Return the failure to report. Only a bug shows where in the code it happened."""
    name = failure_class(error)
    message = f"{type(error).__name__}: {error}"[:_LONGEST_MESSAGE]
    if name is FailureClass.BUG:
        message = "".join(traceback.format_exception(error))[-_TAIL_CHARACTERS:]
    file = error.sha256 if isinstance(error, errors.FileLost) else None
    return Failure(failure_class=name, message=message, file=file)
