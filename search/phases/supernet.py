"""The phase between baseline and search: one trial that trains the weights that members share."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from compress.network.families.catalog import Architecture
from compress.tasks.inspection import DatasetInfo
from compress.techniques.candidate import Candidate
from featherweight.specs.states import Phase
from search.space import supernets
from search.space.job_space import architecture_of, space_of
from search.space.space import Space
from store.attempts.supernets import set_elastic
from store.files import datasets
from store.jobs import jobs
from store.tables.records import JobRecord
from store.trials import trials

ORIGIN = "supernet"


def begin(session: Session, job: JobRecord, now: datetime) -> None:
    """The trial waits, and the job is in this phase. The baseline is measured.

    The trial's candidate is the largest member: what the models in the files of its rungs are.

    Raises:
        SearchError: it cannot be trained as asked, or not one epoch in the seconds that are left.
    """
    spec, own = jobs.spec(job), architecture_of(session, job)
    space = space_of(session, job)
    supernets.check(spec, space, own=own)
    _check_seconds(session, job, space, own, now=now)
    elastic = supernets.elastic(space)
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


def _check_seconds(
    session: Session, job: JobRecord, space: Space, own: Architecture, *, now: datetime
) -> None:
    spec, seconds = jobs.spec(job), jobs.spec(job).budget.seconds
    data = DatasetInfo.model_validate(datasets.get(session, job.dataset_id).info)
    costs = supernets.costs(
        spec,
        space,
        own=own,
        input_shape=data.input_shape,
        num_classes=data.num_classes,
    )
    supernets.check_seconds(
        costs,
        train_images=data.splits["train"],
        baseline=jobs.baseline(job),
        left=None if seconds is None else seconds - jobs.running_seconds(job, now),
    )
