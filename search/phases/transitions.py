"""Transitions between the phases of a job: changes of its record that can be repeated safely.

Each function is called in a short transaction with the job's row locked, and returns whether it
changed anything. It reads what it needs under that lock, so nothing depends on the searcher's
memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count, islice

from sqlalchemy.orm import Session

from compress.tasks import chance
from compress.tasks.inspection import DatasetInfo
from compress.techniques.candidate import Candidate
from compress.values.measurement import Measurement, Split
from featherweight.specs.job import JobSpec, UntrainedModel
from featherweight.specs.states import FINAL_STATE, JobState, Phase, StopReason, TrialState
from search.errors import SearchError
from search.front import front
from search.phases import evaluation, sensitivity, supernet
from search.phases.termination import BUDGET_SECONDS, EXHAUSTED
from search.space import slack
from search.space.stored_problem import problem_of
from store.files import datasets
from store.jobs import events, failures, jobs
from store.tables.records import JobRecord, TrialRecord
from store.trials import candidates, rungs, trials

_FINISH_SEED = 1000
_LAST_PHASES = (Phase.FINISH, Phase.TEST)
_SEEDS = 2**31
"""Seeds stay below this number, whatever is added to the job's seed."""


def start(session: Session, job: JobRecord) -> bool:
    """Begin a queued job by making its baseline trial."""
    if job.state != JobState.QUEUED:
        return False
    spec = jobs.spec(job)
    jobs.move(session, job, JobState.RUNNING)
    trials.create(
        session,
        job,
        phase=Phase.BASELINE,
        origin="baseline",
        candidate=Candidate(),
        seed=spec.seed,
        rungs=(0,),
        splits=_baseline_splits(session, job, spec),
    )
    return True


def leave_baseline(session: Session, job: JobRecord, *, now: datetime) -> bool:
    """Begin the search once the baseline is measured; end the job if it could not be.

    An uploaded model that is no better than chance ends the job too, unless that was allowed.
    Weights that members share are trained before the search, and so is a profile measured if the
    job asks for one.
    """
    if job.state != JobState.RUNNING or job.phase != Phase.BASELINE:
        return False
    first, spec = counted(trials.of_job(session, job.id, phase=Phase.BASELINE))[0], jobs.spec(job)
    match TrialState(first.state):
        case TrialState.COMPLETE if found := _at_chance(session, job, spec):
            _stop(session, job, StopReason.BASELINE_AT_CHANCE, found)
        case TrialState.COMPLETE:
            _caution(session, job)
            _begin_members(session, job, spec, now)
        case TrialState.FAILED | TrialState.STOPPED:
            _stop(session, job, StopReason.BASELINE_FAILED, first.reason)
        case TrialState.WAITING | TrialState.RUNNING:
            return False
    return True


def _caution(session: Session, job: JobRecord) -> None:
    """Warn of bounds that the measured baseline shows to be wrong: events ``spec.warning``."""
    try:
        problem = problem_of(session, job)
    except SearchError:
        return  # the search says so, and ends the job
    before = slack.cautions(replace(problem, baseline=None))
    for caution in slack.cautions(problem):
        if caution not in before:
            events.append(session, job, slack.EVENT, {"reason": caution})


def _at_chance(session: Session, job: JobRecord, spec: JobSpec) -> str:
    """Say in words why an uploaded model is worth no search; empty if it is."""
    baseline = jobs.baseline(job)
    if spec.allow_chance_baseline or isinstance(spec.model, UntrainedModel) or baseline is None:
        return ""
    data = DatasetInfo.model_validate(datasets.get(session, job.dataset_id).info)
    said = chance.at_chance(baseline, data)
    if said is None:
        return ""
    return (
        f"the model is {said}: {chance.WAYS_OUT[data.task]}; or say allow_chance_baseline: true "
        "to search all the same"
    )


def _begin_members(session: Session, job: JobRecord, spec: JobSpec, now: datetime) -> None:
    if spec.profile is not None:
        sensitivity.begin(session, job, seed=spec.seed)
        return
    if not spec.trains_supernet:
        jobs.set_phase(session, job, Phase.SEARCH)
        return
    try:
        supernet.begin(session, job, now)
    except SearchError as error:
        _stop(session, job, StopReason.SUPERNET_FAILED, str(error))


def leave_supernet(session: Session, job: JobRecord) -> bool:
    """Begin the search once the shared weights are trained; stop the job if they cannot be."""
    return _leave_trial(session, job, Phase.SUPERNET, StopReason.SUPERNET_FAILED)


def leave_profile(session: Session, job: JobRecord) -> bool:
    """Begin the search once the baseline is probed; stop the job if it cannot be."""
    return _leave_trial(session, job, Phase.PROFILE, StopReason.PROFILE_FAILED)


def _leave_trial(session: Session, job: JobRecord, phase: Phase, otherwise: StopReason) -> bool:
    """Begin the search once the one trial of the phase is complete; stop the job if it failed."""
    if job.state != JobState.RUNNING or job.phase != phase:
        return False
    first = counted(trials.of_job(session, job.id, phase=phase))[0]
    match TrialState(first.state):
        case TrialState.COMPLETE:
            jobs.set_phase(session, job, Phase.SEARCH)
        case TrialState.FAILED | TrialState.STOPPED:
            _stop(session, job, otherwise, first.reason)
        case TrialState.WAITING | TrialState.RUNNING:
            return False
    return True


def stop_search(session: Session, job: JobRecord, *, reason: str) -> bool:
    """End the search early: trials that wait in its phase will not run."""
    if job.state != JobState.RUNNING or job.phase != Phase.SEARCH:
        return False
    return trials.stop_waiting(session, job, reason, phase=Phase.SEARCH) > 0


def leave_search(session: Session, job: JobRecord, *, shortfall: str = "") -> bool:
    """Retrain the finalists once every search trial is over.

    The caller knows that no further search trial will be proposed; ``shortfall`` says why, if the
    budget is not used up. All finish trials of the budget are made at once, round-robin over the
    finalists with a new seed per round.
    """
    if job.state != JobState.RUNNING or job.phase != Phase.SEARCH:
        return False
    searched = counted(trials.of_job(session, job.id, phase=Phase.SEARCH))
    if not all(TrialState(trial.state).is_finished for trial in searched):
        return False
    if not _is_queue_empty(session, job, shortfall):
        return False
    spec = jobs.spec(job)
    has_all = sum(trial.num_attempts > 0 for trial in searched) == spec.search_trials
    if has_all and shortfall in (BUDGET_SECONDS, EXHAUSTED):
        shortfall = ""
    finalists = _finalists(session, job, spec, searched)
    if not finalists:
        detail = _usual_reason(searched) or shortfall
        _stop(session, job, StopReason.NOTHING_SUCCEEDED, detail)
        return True
    jobs.set_phase(session, job, Phase.FINISH, detail=shortfall)
    job.stop_detail = shortfall
    epochs = spec.finish_epochs_after(_most_epochs(searched))
    before = trials.of_job(session, job.id, phase=Phase.FINISH)
    trained = {(row.candidate_digest, row.seed) for row in before}
    for candidate, round_ in islice(_rounds(finalists), spec.finish.trials):
        seed = (spec.seed + round_ + _FINISH_SEED) % _SEEDS
        # A job that was opened again has trained some before.
        if (candidate.digest(), seed) not in trained:
            _add_finish_trial(session, job, candidate, seed=seed, epochs=epochs)
    return True


def _is_queue_empty(session: Session, job: JobRecord, shortfall: str) -> bool:
    """Return whether no proposed candidate is left to try; an ended search drops its proposals."""
    if shortfall not in ("", EXHAUSTED):
        candidates.drop_waiting(session, job, shortfall)
    return not candidates.any_waiting(session, job.id)


def leave_finish(session: Session, job: JobRecord) -> bool:
    """End the job once all of its trials, re-runs included, are over and its front is measured.

    The front is measured on the test split, if the data has one.
    """
    if job.state != JobState.RUNNING or job.phase not in _LAST_PHASES or not is_idle(job):
        return False
    if evaluation.begin(session, job):
        return True
    most_failed = failures.words(session, job) if failures.are_most(job) else ""
    detail = "; ".join(part for part in (job.stop_detail, most_failed) if part)
    _stop(session, job, StopReason.FINISHED, detail)
    return True


def stop_waiting(session: Session, job: JobRecord) -> bool:
    """Drop the waiting trials of a stopping job."""
    if job.state != JobState.STOPPING:
        return False
    return trials.stop_waiting(session, job, job.stop_reason or "") > 0


def settle(session: Session, job: JobRecord) -> bool:
    """End a stopping job once none of its trials runs or waits."""
    if job.state != JobState.STOPPING or not is_idle(job):
        return False
    candidates.drop_waiting(session, job, job.stop_reason or "")
    final = FINAL_STATE[StopReason(job.stop_reason or "")]
    jobs.move(session, job, final, detail=job.stop_detail)
    return True


def give_up(session: Session, job: JobRecord, detail: str) -> bool:
    """Fail a job that cannot be searched at all."""
    if JobState(job.state) not in (JobState.RUNNING, JobState.PAUSED):
        return False
    _stop(session, job, StopReason.NOTHING_SUCCEEDED, detail)
    return True


def is_idle(job: JobRecord) -> bool:
    """Return whether no trial of the job runs or waits."""
    unfinished = (state for state in TrialState if not state.is_finished)
    return not any(job.counts.get(state, 0) for state in unfinished)


def counted(rows: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that count in the budget; re-runs do not."""
    return [row for row in rows if row.origin != trials.RERUN]


def _stop(session: Session, job: JobRecord, reason: StopReason, detail: str) -> None:
    jobs.move(session, job, JobState.STOPPING, reason=reason, detail=detail)
    trials.stop_waiting(session, job, reason)


def _baseline_splits(session: Session, job: JobRecord, spec: JobSpec) -> tuple[Split, ...]:
    """All splits, because an uploaded model may have been trained on its validation images."""
    found = _every_split(session, job)
    return found if isinstance(spec.model, UntrainedModel) else (*found, "train")


def _every_split(session: Session, job: JobRecord) -> tuple[Split, ...]:
    """Validation, and test if the dataset has one."""
    has_test = "test" in datasets.get(session, job.dataset_id).info["splits"]
    return ("validation", "test") if has_test else ("validation",)


def _finalists(
    session: Session, job: JobRecord, spec: JobSpec, searched: Sequence[TrialRecord]
) -> list[Candidate]:
    candidates = {row.id: Candidate.of_record(row.candidate) for row in searched}
    points = [
        front.FrontCandidate(
            key=candidates[rung.trial_id],
            measurement=Measurement.model_validate(rung.measurement),
            violation=rung.violation,
        )
        for rung in rungs.of_job(session, job.id)
        if rung.trial_id in candidates
    ]
    return front.finalists(
        points,
        count=spec.finish.finalists,
        objectives=spec.objectives,
        constraints=spec.constraints,
        baseline=jobs.baseline(job),
    )


def _rounds(finalists: Sequence[Candidate]) -> Iterator[tuple[Candidate, int]]:
    for round_ in count():
        for candidate in finalists:
            yield candidate, round_


def _most_epochs(searched: Sequence[TrialRecord]) -> int:
    """The recovery epochs at the highest rung that a search trial came to."""
    return max((row.rungs[row.rung] for row in searched if row.rung is not None), default=0)


def _add_finish_trial(
    session: Session, job: JobRecord, candidate: Candidate, *, seed: int, epochs: int
) -> TrialRecord:
    return trials.create(
        session,
        job,
        phase=Phase.FINISH,
        origin="finish",
        candidate=candidate,
        seed=seed,
        rungs=(epochs,),
        splits=_every_split(session, job),
    )


def _usual_reason(rows: Sequence[TrialRecord]) -> str:
    """Return the most frequent reason why trials failed."""
    reasons = Counter(row.reason for row in rows if row.reason)
    return (
        f"every search trial failed, most often: {reasons.most_common(1)[0][0]}" if reasons else ""
    )
