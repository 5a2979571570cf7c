"""Baselines that earlier jobs measured: what forecasts and feasibility checks stand on."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from compress.values.measurement import Measurement
from featherweight.specs.job import UntrainedModel
from store.tables.records import DatasetRecord, JobRecord, ModelRecord

_JOBS_LOOKED_AT = 50


def newest(
    session: Session, *, model: ModelRecord | UntrainedModel, dataset: DatasetRecord
) -> Measurement | None:
    """The newest baseline of the same network on the same dataset; None where none is known.

    Of untrained models, the dataset's last 50 baselines are looked at.
    """
    for job_id in jobs_of(session, model=model, dataset=dataset, limit=1):
        job = session.get_one(JobRecord, job_id)
        return Measurement.model_validate(job.baseline)
    return None


def jobs_of(
    session: Session, *, model: ModelRecord | UntrainedModel, dataset: DatasetRecord, limit: int
) -> list[str]:
    """The newest jobs that have measured the same network on the same dataset, by their ids."""
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
