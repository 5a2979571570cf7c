"""The searcher: it looks at every active job and takes it one step further.

It may be killed between any two statements. Its decisions are in the tables. What it only told
Optuna is found and corrected when the next searcher opens the study, and a seed per proposal makes
that one propose the same.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session

from featherweight.specs.states import JobState, Phase, TrialState
from search import sampling
from search.admission import admission, bounds_filter
from search.errors import InvalidSpace, LeadershipLost, ProfileDoesNotFit, TechniqueDoesNotFit
from search.loop.leadership import Leadership
from search.loop.overhead import Overhead
from search.phases import termination, transitions
from search.phases.termination import Ending
from search.queue import untried
from search.queue.queued import make_trial
from search.settings import SearcherSettings
from search.space.stored_problem import problem_of
from search.study import removing
from search.study.frozen import Measured
from search.study.job_search import JobSearch
from search.study.projection import Proposal, StudyProjection, proposed
from search.study.rebuilding import history_of, measured_of, note, open_study
from search.study.storage import OUTAGES, close_storage, open_storage
from store.database import clock
from store.database.outages import is_lock_timeout
from store.errors import (
    BudgetExhausted,
    CandidatesWait,
    DuplicateCandidate,
    JobNotFound,
    NotRunning,
)
from store.jobs import jobs, rejections, studies
from store.session import Database
from store.tables.records import CandidateRecord, JobRecord, TrialRecord
from store.trials import candidates, trials

_log = logging.getLogger(__name__)
MOST_COPIES = 50
"""After this many known candidates in a row the sampler is not asked again for a trial."""
LEFT_SECONDS = 5.0
"""Seconds for which a job is left alone after its row stayed locked for too long."""
_COMPARED = (Phase.BASELINE, Phase.SEARCH)
"""Phases whose candidates count as tried; the files of a supernet are only checkpoints."""


class Searcher:
    """The process that asks and tells Optuna; of several, only the leader does anything."""

    def __init__(
        self,
        database: Database,
        study_url: str,
        settings: SearcherSettings,
        *,
        holder: str | None = None,
        now: Callable[[], datetime] = clock.utc_now,
    ) -> None:
        """Open the studies.

        Args:
            database: The store.
            study_url: Optuna's storage, migrated.
            settings: Lease and look-ahead.
            holder: Who this is, for the leader's row; new for every process.
            now: The clock of ``budget.seconds``.

        Raises:
            StudySchemaOutdated: the study's tables are missing or old.
        """
        self._database = database
        self._storage = open_storage(study_url)
        self._settings = settings
        self._now = now
        self._studies: dict[str, JobSearch] = {}
        # Whoever led meanwhile has searched, too: what is remembered of the studies is old.
        self._leadership = Leadership(
            database,
            holder=holder or f"searcher-{uuid.uuid4()}",
            lease_seconds=settings.searcher_lease_seconds,
            lapsed=lambda: self._studies.clear(),
        )
        self._overhead: defaultdict[str, Overhead] = defaultdict(Overhead)
        self._held_elsewhere: dict[str, float] = {}

    def step(self) -> bool:
        """Advance all active jobs once, oldest first; return whether anything changed."""
        try:
            if not self._leadership.is_held():
                return False
            with self._database.read() as session:
                active = [job.id for job in jobs.active(session)]
                deleted = studies.pending(session)
            self._studies = {key: self._studies[key] for key in active if key in self._studies}
            held = self._held_elsewhere
            self._held_elsewhere = {key: held[key] for key in active if key in held}
            changes = [self._advance_if_free(job_id) for job_id in active]
            return any([*changes, *map(self._remove_study, deleted)])
        except LeadershipLost:
            self._forget()
            return False
        except OUTAGES:
            # Nobody knows what was written: the studies are read again and put right.
            self._forget()
            raise

    def _remove_study(self, job_id: str) -> bool:
        """Take the removal of a deleted job's study a step further; a repeat finds less to do."""
        if removing.remove_some(self._storage.engine, job_id):
            with self._leadership.write() as session:
                studies.done(session, job_id)
        return True

    def _advance_if_free(self, job_id: str) -> bool:
        """Advance a job unless its row is locked, so that a frozen holder stops no other job."""
        if time.monotonic() < self._held_elsewhere.get(job_id, -math.inf):
            return False
        try:
            return self._advance(job_id)
        except JobNotFound:
            return False  # another leader ended it meanwhile, and its user deleted it
        except OUTAGES as error:
            if not is_lock_timeout(error):
                raise
            _log.warning("job %s is held by another transaction: it is left for now", job_id)
            self._studies.pop(job_id, None)
            self._held_elsewhere[job_id] = time.monotonic() + LEFT_SECONDS
            return False

    def _forget(self) -> None:
        self._studies.clear()
        self._leadership.doubt()

    def close(self) -> None:
        """Resign the leadership and close every connection."""
        try:
            self._leadership.resign()
        finally:
            close_storage(self._storage)

    def _advance(self, job_id: str) -> bool:
        """Do what can be done for one job now; return whether anything changed."""
        with self._database.read() as session:
            job = jobs.get(session, job_id)
        match JobState(job.state):
            case JobState.QUEUED:
                return self._change(job, transitions.start)
            case JobState.RUNNING:
                return self._tell(job) | self._run(job)
            case JobState.STOPPING:
                return (
                    self._change(job, transitions.stop_waiting)
                    | self._tell(job)
                    | self._settle(job)
                )
            case _:
                return self._tell(job)

    def _run(self, job: JobRecord) -> bool:
        match Phase(job.phase):
            case Phase.BASELINE:
                leave = partial(transitions.leave_baseline, now=self._now())
                return transitions.is_idle(job) and self._change(job, leave)
            case Phase.SUPERNET:
                return transitions.is_idle(job) and self._change(job, transitions.leave_supernet)
            case Phase.PROFILE:
                return transitions.is_idle(job) and self._change(job, transitions.leave_profile)
            case Phase.SEARCH:
                return self._search(job)
            case Phase.FINISH | Phase.TEST:
                return transitions.is_idle(job) and self._change(job, transitions.leave_finish)

    def _settle(self, job: JobRecord) -> bool:
        is_over = transitions.is_idle(job) and self._change(job, transitions.settle)
        if is_over:
            _log.info("job %s is over: %s", job.id, self._overhead.pop(job.id, Overhead()))
        return is_over

    def _search(self, job: JobRecord) -> bool:
        """Keep enough candidates waiting; leave the phase once all are over and none follows."""
        try:
            with self._overhead[job.id].asking():
                job_search = self._open(job)
        except (InvalidSpace, TechniqueDoesNotFit, ProfileDoesNotFit) as error:
            return self._change(job, partial(transitions.give_up, detail=str(error)))
        ended = self._ending(job, job_search)
        if ended is None:
            with self._overhead[job.id].asking():
                changed = self._fill(job, job_search)
        else:
            stop = partial(transitions.stop_search, reason=ended.reason)
            changed = ended.drops_waiting and self._change(job, stop)
        if changed or not transitions.is_idle(job):
            return changed
        exhausted = termination.EXHAUSTED if job_search.is_exhausted else ""
        shortfall = ended.reason if ended else exhausted
        return self._change(job, partial(transitions.leave_search, shortfall=shortfall))

    def _ending(self, job: JobRecord, job_search: JobSearch) -> Ending | None:
        """Return what ends the search before its trials are used up, or None."""
        if job_search.looked_at != job.last_event:
            with self._database.read() as session:
                job_search.ending = termination.by_record(session, job, job_search.problem)
            job_search.looked_at = job.last_event
        return job_search.ending or termination.by_clock(job, job_search.problem, self._now())

    def _fill(self, job: JobRecord, job_search: JobSearch) -> bool:
        """Propose until enough trials wait; return whether there is a new one."""
        limit = job_search.most_waiting(self._settings.look_ahead)
        missing = limit - job.counts.get(TrialState.WAITING, 0)
        if missing <= 0:
            return False
        with self._database.read() as session:
            rows = trials.tried(session, job.id)
            queue = candidates.waiting(session, job.id)
        known = {row.digest: row.trial_id for row in reversed(rows) if row.phase in _COMPARED}
        if queue:
            return self._try_proposed(job, job_search, queue[:missing], known)
        index = sum(row.phase == Phase.SEARCH and row.origin != trials.RERUN for row in rows)
        last = min(index + missing, job_search.problem.spec.search_trials)
        found = [self._propose(job, job_search, known, index=i) for i in range(index, last)]
        return any(found)

    def _try_proposed(
        self,
        job: JobRecord,
        job_search: JobSearch,
        queue: list[CandidateRecord],
        known: dict[str, str],
    ) -> bool:
        """Make trials of queued candidates, in their order; return whether anything changed."""
        made = [
            make_trial(self._leadership.write, job, job_search, one, known=known) for one in queue
        ]
        return any(made)

    def _propose(
        self, job: JobRecord, job_search: JobSearch, known: dict[str, str], *, index: int
    ) -> bool:
        """Make a trial of one new candidate; return False if there is none any more."""
        if job_search.is_exhausted:
            return False
        origin, given = job_search.given(known)
        found = (
            job_search.study.place(given)
            if given
            else self._new(job, job_search, known, index=index)
        )
        if found is None:
            job_search.is_exhausted = True
            return False
        row = self._create(job, job_search, found, origin=origin)
        if row is not None:
            self._overhead[job.id].num_asks += 1
            known[row.candidate_digest] = row.id
        return row is not None

    def _new(
        self, job: JobRecord, job_search: JobSearch, known: dict[str, str], *, index: int
    ) -> Proposal | None:
        """Find a proposal of an untried candidate that may enter the front."""
        study, space = job_search.study, job_search.problem.space
        with self._database.read() as session:
            admitted = admission.of(session, job, job_search.bounds)
        while study.num_copies(index) < MOST_COPIES:
            proposal = study.ask(index=index)
            candidate = proposal.candidate
            original_id = known.get(candidate.digest())
            if original_id is None and (rejection := admitted.rejection(candidate)):
                with self._leadership.write() as session:
                    rejections.note(session, job, candidate, rejection.reason)
                study.tell_rejection(proposal.study_number, rejection, index=index)
                continue
            if original_id is None:
                return proposal
            with self._database.read() as session:
                original = trials.get(session, original_id)
                measured = measured_of(session, job, [original])
            study.tell_copy(proposal.study_number, original, index=index, measured=measured)
            if len(known) >= space.num_candidates:
                break
        params = untried.find(
            space, known, seed=(job_search.problem.spec.seed, index), admits=admitted.admits
        )
        return None if params is None else study.place(params)

    def _create(
        self, job: JobRecord, job_search: JobSearch, found: Proposal, *, origin: str
    ) -> TrialRecord | None:
        """Create the proposal's row; return None if the job has stopped in the meantime."""
        try:
            with self._leadership.write() as session:
                row = trials.create(
                    session,
                    job,
                    phase=Phase.SEARCH,
                    origin=origin,
                    candidate=found.candidate,
                    params=found.params,
                    seed=job_search.problem.spec.seed,
                    rungs=job_search.problem.spec.early_stopping.rungs,
                    splits=("validation",),
                    study_number=found.study_number,
                )
                candidates.check_none_waits(session, job)
                return row
        except (
            BudgetExhausted,
            CandidatesWait,
            DuplicateCandidate,
            NotRunning,
            LeadershipLost,
        ) as refusal:
            job_search.study.discard(found.study_number)
            if isinstance(refusal, LeadershipLost):
                raise
            _log.info("job %s takes no trial: %s", job.id, refusal)
            return None

    def _tell(self, job: JobRecord) -> bool:
        """Tell the study how trials ended; return whether there was news."""
        with self._database.read() as session:
            rows = trials.unreported(session, job.id)
        if not rows:
            return False
        with self._overhead[job.id].telling(len(rows)):
            with self._database.read() as session:
                measured = measured_of(session, job, rows)
            for row in proposed(rows):
                self._open(job).study.tell(row, measured)
            with self._leadership.write() as session:
                trials.mark_reported(session, job.id, [row.id for row in rows])
        return True

    def _open(self, job: JobRecord) -> JobSearch:
        """Open the job's study, brought up to date with the tables if it was not open yet.

        It is opened anew once the budget was raised, on which its design and its sampler rest.
        """
        known = self._studies.get(job.id)
        if known is None or known.problem.spec.budget != jobs.spec(job).budget:
            with self._database.read() as session:
                problem = problem_of(session, job)
                rows = trials.of_job(session, job.id, phase=Phase.SEARCH)
                measured = measured_of(session, job, rows)
                earlier = history_of(session, job)
            study = open_study(self._storage, job, problem, earlier)
            self._follow(job, study, rows, measured)
            self._studies[job.id] = JobSearch(
                problem=problem,
                study=study,
                bounds=bounds_filter.of_problem(problem),
                trial_macs=sampling.trial_macs(problem),
            )
        return self._studies[job.id]

    def _follow(
        self, job: JobRecord, study: StudyProjection, rows: list[TrialRecord], measured: Measured
    ) -> None:
        if study.holds(rows):
            study.reconcile(rows, measured)
            return
        _log.warning("the study of job %s is not that of its trials: it is made again", job.id)
        numbers = study.refill(rows, measured)
        with self._leadership.write() as session:
            note(session, rows, numbers)

    def _change(self, job: JobRecord, change: Callable[[Session, JobRecord], bool]) -> bool:
        with self._leadership.write() as session:
            return change(session, jobs.lock(session, job.id))
