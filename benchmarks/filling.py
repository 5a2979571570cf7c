"""A store filled with real rows, through the store's own functions where that is fast enough."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import numpy as np

from compress import inspection
from featherweight.specs.job import JobSpec
from featherweight.specs.states import JobState
from store import datasets, files, jobs, session
from store.clock import utc_now
from store.files import FileStore
from store.tables import TrialRecord


def spec(trials: int, name: str = "bench") -> JobSpec:
    """A job on the filled dataset."""
    return JobSpec.model_validate(
        {
            "name": name,
            "model": {"architecture": {"widths": [8, 16], "depths": [1, 1]}, "epochs": 1},
            "data": "bench",
            "techniques": {"filter_pruning": {}, "quantization": {}},
            "objectives": ["maximise accuracy", "minimise size_bytes"],
            "budget": {"trials": trials, "parallel_trials": 256},
            "finish": {"trials": 0},
        }
    )


def add_dataset(database: session.Database, folder: Path) -> None:
    """A small dataset named ``bench``."""
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        x_train=rng.integers(0, 255, (200, 8, 8), dtype=np.uint8),
        y_train=np.arange(200) % 2,
    )
    store = FileStore(folder)
    stored = store.put([buffer.getvalue()], limit=10**8)
    info = inspection.inspect_dataset(store.path(stored.sha256))
    with database.write() as s:
        files.record(s, stored)
        datasets.create(s, name="bench", stored=stored, task="image_classification", info=info)


def add_job(database: session.Database, trials: int) -> str:
    """A running job with ``trials`` waiting trials, written in bulk; returns its id."""
    with database.write() as s:
        job, _ = jobs.create(
            s,
            spec(min(trials + 2, 10_000)),
            model=None,
            dataset=datasets.get(s, "bench"),
            idempotency_key=None,
            body_sha256=uuid.uuid4().hex * 2,
        )
        # Nobody trains here: any stored file serves as the weights that assignments name.
        job.weights_sha256 = datasets.get(s, "bench").sha256
        job.normalisation = {"mean": [0.0], "std": [1.0]}
        job.counts = {"waiting": trials}
        jobs.move(s, job, JobState.RUNNING)
        s.bulk_insert_mappings(TrialRecord.__mapper__, [_row(job.id, n) for n in range(trials)])
        return job.id


def _row(job_id: str, number: int) -> dict[str, object]:
    return {
        "id": str(uuid.uuid4()),
        "job_id": job_id,
        "number": number,
        "phase": "search",
        "origin": "sampler",
        "state": "waiting",
        "candidate": {"steps": []},
        "candidate_digest": f"{number:064x}",
        "params": {},
        "seed": 0,
        "rungs": [0],
        "splits": ["validation"],
        "failures": {},
        "num_attempts": 0,
        "told": False,
        "created_at": utc_now(),
    }
