"""Measure stored files on the test split; such a trial trains and makes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from compress.evaluation.measure import Answered
from featherweight.client.worker_client import file_ref
from featherweight.specs.protocol import Report, StoredModel
from workers.spool import FILE_NAMES


def report(
    file: StoredModel,
    found: Answered,
    folder: Path,
    *,
    rung: int,
    seconds: Mapping[str, float],
) -> Report:
    """Return the report of one file in ``folder``, as measured before except for test.

    Args:
        file: The file, and its measurement.
        found: What it answered on test.
        folder: Where it lies.
        rung: Its place among the trial's files.
        seconds: Where the trial's time went so far.
    """
    before = file.measurement
    measurement = before.model_copy(
        update={
            "accuracy": before.accuracy | found.accuracies("test"),
            "intervals": before.intervals | found.intervals("test"),
            "class_correct": {"test": found.class_correct} if found.class_correct else {},
            "quality": {**before.quality, "test": dict(found.quality)},
            "seconds": dict(seconds),
        }
    )
    onnx = file_ref(folder / FILE_NAMES["onnx"], "onnx")
    return Report(rung=rung, epochs=0, measurement=measurement, files=(onnx,))
