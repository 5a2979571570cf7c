"""Find baselines that earlier jobs measured, for forecasts and feasibility checks."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from compress.values.measurement import Measurement
from featherweight.specs.job import UntrainedModel
from store.tables.records import DatasetRecord, JobRecord, ModelRecord

_JOBS_LOOKED_AT = 50


def newest(
    session: Session, *, model: ModelRecord | UntrainedModel, dataset: DatasetRecord, target: str
) -> Measurement | None:
    """Return the newest baseline of the same network on the same dataset, or None.

    Its file is for the same target: another form has other bytes. The last 50 baselines of the
    dataset are searched.
    """
    for job_id in jobs_of(session, model=model, dataset=dataset, limit=_JOBS_LOOKED_AT):
        found = Measurement.model_validate(session.get_one(JobRecord, job_id).baseline)
        if found.target == target:
            return found
    return None


def jobs_of(
    session: Session, *, model: ModelRecord | UntrainedModel, dataset: DatasetRecord, limit: int
) -> list[str]:
    """Return the ids of the newest jobs that measured the same network on the same dataset."""
    query = select(JobRecord.id, JobRecord.spec).where(
        JobRecord.dataset_id == dataset.id, JobRecord.baseline.is_not(None)
    )
    if isinstance(model, ModelRecord):
        wanted, query = None, query.where(JobRecord.model_id == model.id)
    else:
        wanted, query = model, query.where(JobRecord.model_id.is_(None))
    found = session.execute(query.order_by(JobRecord.created_at.desc()).limit(_JOBS_LOOKED_AT))
    same = [
        job_id
        for job_id, spec in found
        if wanted is None or UntrainedModel.of_record(spec["model"]) == wanted
    ]
    return same[:limit]
