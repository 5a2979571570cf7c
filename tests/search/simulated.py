"""A worker that measures by formula instead of training, through the real store."""

from __future__ import annotations

import math
from collections.abc import Callable

from compress.techniques.candidate import Candidate
from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec
from featherweight.specs.protocol import Assignment, Failure
from featherweight.specs.states import FailureClass, JobState, Phase
from search.early_stopping import rule
from search.loop.searcher import Searcher
from search.settings import SearcherSettings
from store.attempts import attempts
from store.jobs import jobs
from store.session import Database
from store.tables.records import JobRecord, TrialRecord
from store.trials import rungs, trials
from tests import factories

BASELINE_BYTES = 100_000
FailsOn = Callable[[Assignment], bool]


def settings(**changes: float) -> SearcherSettings:
    return SearcherSettings.model_validate({"searcher_lease_seconds": 60.0, **changes})


def measure(candidate: Candidate, *, epochs: int, seed: int) -> Measurement:
    """Smaller costs accuracy, training gives half of the loss back; seeds differ a little."""
    kept, loss = 1.0, 0.0
    for step in candidate.configs:
        match step.technique:
            case "filter_pruning":
                for stage, ratio in enumerate(step.ratios):
                    kept *= 1 - 0.8 * ratio
                    loss += 0.1 * (stage + 1) * ratio**2
            case "quantization":
                kept *= step.weight_bits / 32
                loss += 0.06 if step.weight_bits == 4 else 0.005
            case "family_member":
                kept *= step.width**2
                loss += 0.1 * (1 - step.width)
            case "distillation":
                loss *= 1 - 0.2 * step.weight * math.exp(-abs(step.temperature - 4) / 4)
    loss *= 0.5 + 0.5 / (1 + epochs)
    return factories.measurement(
        round(0.95 - loss + 0.0001 * (seed % 7), 6), max(1, round(BASELINE_BYTES * kept))
    )


def never(assignment: Assignment) -> bool:
    return False


def work_once(
    database: Database,
    *,
    fails_on: FailsOn = never,
    worker: str = "w",
    epoch_seconds: float = 0.0,
) -> bool:
    """Run one trial to its end; False when there is nothing to do."""
    with database.write() as session:
        assignment = factories.claim(session, worker)
    if assignment is None:
        return False
    if fails_on(assignment):
        failure = Failure(failure_class=FailureClass.NUMERICAL, message="loss is NaN")
        with database.write() as session:
            attempts.fail(session, assignment.attempt, assignment.token, failure)
        return True
    climb(database, assignment, epoch_seconds=epoch_seconds)
    with database.write() as session:
        attempts.complete(session, assignment.attempt, assignment.token)
    return True


def climb(database: Database, assignment: Assignment, *, epoch_seconds: float = 0.0) -> None:
    for rung in range(assignment.first_rung, len(assignment.rungs)):
        epochs = assignment.rungs[rung]
        measured = measure(assignment.candidate, epochs=epochs, seed=assignment.seed)
        measured = measured.model_copy(update={"seconds": {"recover": epoch_seconds * epochs}})
        with database.write() as session:
            report = factories.report_of(session, assignment, rung=rung, measured=measured)
            decision = attempts.report(
                session, assignment.attempt, assignment.token, report, decide=rule.judge
            )
        if decision.stop:
            return


def run(
    database: Database,
    searcher: Searcher,
    *,
    fails_on: FailsOn = never,
    until: Callable[[], bool] = lambda: False,
    limit: int = 2000,
    epoch_seconds: float = 0.0,
) -> None:
    """Searcher and one worker in turns until nothing is left to do, or ``until`` says so."""
    for _ in range(limit):
        changed = settle(searcher)
        if until():
            return
        worked = work_once(database, fails_on=fails_on, epoch_seconds=epoch_seconds)
        if not changed and not worked:
            return
    raise AssertionError(f"not done after {limit} turns")


def settle(searcher: Searcher) -> bool:
    """Let the searcher do all it can do now."""
    changed = False
    while searcher.step():
        changed = True
    return changed


def submit(database: Database, **changes: object) -> str:
    with database.write() as session:
        return factories.job(session, **changes).id


def job(database: Database, job_id: str) -> JobRecord:
    with database.read() as session:
        return jobs.get(session, job_id)


def spec(database: Database, job_id: str) -> JobSpec:
    return jobs.spec(job(database, job_id))


def rows(database: Database, job_id: str) -> list[TrialRecord]:
    """Trials of the budget, and re-runs; what measures the last front on test comes on top."""
    return [row for row in all_rows(database, job_id) if row.phase != Phase.TEST]


def all_rows(database: Database, job_id: str) -> list[TrialRecord]:
    with database.read() as session:
        return trials.of_job(session, job_id)


def candidates(database: Database, job_id: str) -> list[tuple[int, str, str, str, int]]:
    """What was tried, comparable between two jobs."""
    return [
        (row.number, row.phase, row.origin, row.candidate_digest, row.seed)
        for row in rows(database, job_id)
    ]


def num_rungs(database: Database, job_id: str) -> int:
    with database.read() as session:
        return len(rungs.of_job(session, job_id))


def epochs_of_rungs(database: Database, job_id: str) -> dict[str, list[int]]:
    """What each search trial was trained for at every rung that it reached."""
    with database.read() as session:
        rows = [row for row in trials.of_job(session, job_id) if row.phase == "search"]
        found = {row.id: row.rungs for row in rows}
        reached = [(each.trial_id, each.rung) for each in rungs.of_job(session, job_id)]
    return {
        trial: [epochs[rung] for owner, rung in sorted(reached) if owner == trial]
        for trial, epochs in found.items()
    }


def is_finished(database: Database, job_id: str) -> bool:
    return JobState(job(database, job_id).state).is_finished
