"""The phase after the finish, which measures the files of the final front on the test split.

The search never sees these figures: they compare no trials and choose no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from sqlalchemy.orm import Session

from compress.techniques.candidate import Candidate
from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec
from featherweight.specs.states import Phase, TrialState
from search.front import front
from search.front.front import FrontCandidate
from store.attempts import evaluations
from store.files import datasets
from store.jobs import jobs
from store.tables.records import JobRecord, RungRecord, TrialRecord
from store.trials import rungs, trials

_NO_CANDIDATES = (Phase.SUPERNET, Phase.PROFILE, Phase.TEST)
_SEEDS = 2**31


def begin(session: Session, job: JobRecord) -> bool:
    """Make a trial that measures what is missing, and put the job into this phase.

    Returns False if nothing is missing, if the data has no test split, or if measuring failed
    before. Every other trial of the job must be over.
    """
    if "test" not in datasets.get(session, job.dataset_id).info["splits"]:
        return False
    before, spec = trials.of_job(session, job.id, phase=Phase.TEST), jobs.spec(job)
    files = _missing(session, job, spec, before)[: evaluations.MOST_FILES]
    if not files:
        return False
    if job.phase != Phase.TEST:
        jobs.set_phase(session, job, Phase.TEST)
    trials.create(
        session,
        job,
        phase=Phase.TEST,
        origin=trials.EVALUATION,
        candidate=Candidate(),
        seed=_free_seed(spec.seed, before),
        rungs=(0,) * len(files),
        splits=("validation", "test"),
        files=files,
    )
    return True


def _missing(
    session: Session, job: JobRecord, spec: JobSpec, before: Sequence[TrialRecord]
) -> list[str]:
    """Return files without a figure, except those at which a trial of this phase has failed."""
    records = rungs.of_job(session, job.id)
    known = {*evaluations.tested(records), *(file for row in before for file in _failed_at(row))}
    return [file for file in _shown(session, job, spec, records) if file not in known]


def _shown(
    session: Session, job: JobRecord, spec: JobSpec, records: Sequence[RungRecord]
) -> list[str]:
    """Return the front, and the files recommended with and without the search."""
    asked = {
        "objectives": spec.objectives,
        "constraints": spec.constraints,
        "baseline": jobs.baseline(job),
    }
    files = [record for record in records if record.phase not in _NO_CANDIDATES]
    simple = {row.id for row in trials.of_origin(session, job.id, trials.CONTROL)}
    points = [_point(record) for record in files]
    without_search = [_point(record) for record in files if record.trial_id in simple]
    found = [
        *front.select(points, **asked).front,
        front.recommend(points, **asked)[0],
        front.recommend(without_search, **asked)[0],
    ]
    return [file for file in dict.fromkeys(found) if file is not None]


def _point(record: RungRecord) -> FrontCandidate[str]:
    return FrontCandidate(
        key=record.file_sha256,
        measurement=Measurement.model_validate(record.measurement),
        violation=record.violation,
    )


def _failed_at(trial: TrialRecord) -> list[str]:
    """The file at which the trial failed. It is not tried again; the files after it are."""
    if trial.state != TrialState.FAILED:
        return []
    position = 0 if trial.rung is None else trial.rung + 1
    return (trial.files or [])[position : position + 1]


def _free_seed(first: int, before: Sequence[TrialRecord]) -> int:
    """A seed that no trial of the phase has; it only tells the trials apart."""
    used = {row.seed for row in before}
    return next(seed % _SEEDS for seed in count(first) if seed % _SEEDS not in used)
