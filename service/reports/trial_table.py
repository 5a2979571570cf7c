"""The trials of a job as CSV: a line per trial, for a spreadsheet or a frame.

Rows are read as they are stored: to make a value of every candidate and measurement would cost ten
times as much.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from store.attempts import scores
from store.session import Session
from store.tables.records import TrialRecord
from store.trials import trials

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins so would be run by a spreadsheet."""
_OWN = ("number", "id", "phase", "origin", "state", "seed", "rung")
_ENDED = ("failure_class", "reason")
_MEASURED = ("size_bytes", "download_bytes", "peak_memory_bytes", "parameters", "macs")
_TIMED = ("median_ms", "p95_ms", "ratio")
_COLUMNS = (
    *_OWN, "epochs", "feasible", "accuracy", "test_accuracy", "quality", "test_quality", *_MEASURED,
    *(f"latency_{name}" for name in _TIMED), "seconds", *_ENDED,
)  # fmt: skip


def table(session: Session, job_id: str) -> str:
    """Return all trials of the job by number; knobs that a sampler chose are columns ``params.*``.

    Qualities are of the newest file, 0 to 1, and of classifiers their accuracy; ``seconds`` lie
    between start and end of a trial.
    """
    rows = trials.of_job(session, job_id)
    knobs = sorted({name for row in rows for name in row.params or {}})
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow([*_COLUMNS, *(f"params.{name}" for name in knobs)])
    writer.writerows([*map(_cell, _values(row)), *_knobs(row, knobs)] for row in rows)
    return file.getvalue()


def _values(row: TrialRecord) -> list[Any]:
    found: Mapping[str, Any] = row.measurement or {}
    accuracy, latency = found.get("accuracy", {}), found.get("latency", {})
    return [
        *(getattr(row, name) for name in _OWN),
        None if row.rung is None else row.rungs[row.rung],
        None if row.violation is None else row.violation <= 0,
        accuracy.get("validation"),
        accuracy.get("test"),
        scores.of(found, "validation"),
        scores.of(found, "test"),
        *(found.get(name) for name in _MEASURED),
        *(latency.get(name) for name in _TIMED),
        _seconds(row),
        *(getattr(row, name) for name in _ENDED),
    ]


def _seconds(row: TrialRecord) -> float | None:
    if row.started_at is None or row.finished_at is None:
        return None
    return round((row.finished_at - row.started_at).total_seconds(), 3)


def _knobs(row: TrialRecord, names: Sequence[str]) -> list[Any]:
    params = row.params or {}
    return [_cell(params.get(name)) for name in names]


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
