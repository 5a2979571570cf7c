"""The files of a job that meters measure: the baseline's, the one to take, and the front."""

from __future__ import annotations

from collections.abc import Sequence

from service.reports import fronts
from service.reports.fronts import Files, Key
from store.files import artifacts
from store.session import Session
from store.tables.records import JobRecord

MOST_FILES = 32
"""Of a job on each meter at once; of a longer front files that are evenly spaced."""
_FIRST = 2


def to_measure(session: Session, job: JobRecord) -> tuple[str, ...]:
    """Return the artifacts of the files that are worth measuring now, the most wanted first."""
    if job.baseline is None:
        return ()
    found = (_artifact(session, key) for key in _chosen(fronts.measured(session, job)))
    return tuple(artifact for artifact in found if artifact is not None)


def _chosen(files: Files) -> list[Key]:
    taken, _ = fronts.recommend(files, files.candidates)
    best = list(fronts.select(files, files.candidates).front)
    first = [*fronts.baseline(files), *([] if taken is None else [taken])]
    return list(dict.fromkeys([*first, *_spaced(best, MOST_FILES - _FIRST)]))


def _spaced(keys: Sequence[Key], most: int) -> list[Key]:
    if len(keys) <= most:
        return list(keys)
    return [keys[round(i * (len(keys) - 1) / (most - 1))] for i in range(most)]


def _artifact(session: Session, key: Key) -> str | None:
    trial, rung = key
    own = [a for a in artifacts.of_trial(session, trial) if a.rung == rung and a.role == "onnx"]
    return own[0].id if own else None
