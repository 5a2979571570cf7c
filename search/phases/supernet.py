"""The phase between baseline and search: one trial that trains the members' shared weights."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from compress.techniques.candidate import Candidate
from featherweight.specs.states import Phase
from search.space import supernets
from search.space.problem import Problem
from search.space.stored_problem import problem_of
from store.attempts.supernets import set_elastic
from store.jobs import jobs
from store.tables.records import JobRecord
from store.trials import trials

ORIGIN = "supernet"


def begin(session: Session, job: JobRecord, now: datetime) -> None:
    """Make the trial and enter this phase; the baseline must be measured.

    The trial's candidate is the largest member, which the files of its rungs hold.

    Raises:
        SearchError: It cannot be trained as asked, or the seconds left are too few for one epoch.
    """
    problem = problem_of(session, job)
    spec = problem.spec
    supernets.check_training(problem)
    _check_seconds(job, problem, now=now)
    elastic = supernets.elastic(problem.space)
    set_elastic(session, job, elastic)
    jobs.set_phase(session, job, Phase.SUPERNET)
    assert spec.supernet is not None
    trials.create(
        session,
        job,
        phase=Phase.SUPERNET,
        origin=ORIGIN,
        candidate=Candidate(steps=(supernets.largest(elastic),)),
        seed=spec.seed,
        rungs=supernets.checkpoints(spec.supernet.epochs),
        splits=("validation",),
    )


def _check_seconds(job: JobRecord, problem: Problem, *, now: datetime) -> None:
    seconds = problem.spec.budget.seconds
    supernets.check_seconds(
        problem,
        supernets.costs(problem),
        left=None if seconds is None else seconds - jobs.running_seconds(job, now),
    )
