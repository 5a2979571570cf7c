"""The seam to ONNX's own libraries: what they raise of a stranger's file is about the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from compress.network.graph.shapes import ERRORS
from compress.values.errors import InvalidNetwork

_LONGEST = 300


@contextmanager
def blamed(doing: str) -> Iterator[None]:
    """Errors of libraries inside become InvalidNetwork: what was done, and the innermost reason."""
    try:
        yield
    except ERRORS as error:
        raise InvalidNetwork(
            f"{doing}: {_reason(error)}; check the file with onnx.checker.check_model, or export "
            "the network again with opset 17"
        ) from error


def _reason(error: BaseException) -> str:
    """The words of the error that all others came from, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or ["no reason given"]
    return f"{type(error).__name__}: {lines[0][:_LONGEST]}"
