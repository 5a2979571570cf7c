"""The phase before the search: one trial that probes the baseline, unless a profile exists."""

from __future__ import annotations

from sqlalchemy.orm import Session

from compress.techniques.candidate import Candidate
from featherweight.specs.states import Phase
from store.attempts import profiles
from store.jobs import jobs
from store.tables.records import JobRecord
from store.trials import trials

ORIGIN = "profile"


def begin(session: Session, job: JobRecord, *, seed: int) -> None:
    """Make the trial and enter this phase, or begin the search with an existing profile.

    The baseline must be measured. An existing profile leaves the budget's trial for it unspent, so
    that the job searches the same number of candidates either way.
    """
    known = profiles.known(session, job)
    if known is not None:
        profiles.use(session, job, known)
        jobs.set_phase(session, job, Phase.SEARCH)
        return
    jobs.set_phase(session, job, Phase.PROFILE)
    trials.create(
        session,
        job,
        phase=Phase.PROFILE,
        origin=ORIGIN,
        candidate=Candidate(),
        seed=seed,
        rungs=(0,),
        splits=("validation",),
    )
