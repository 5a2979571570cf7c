"""A store filled with real rows, through the store's own functions where that is fast enough."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from compress.targets import registry as targets
from compress.tasks import inspection
from compress.values.latency.latency import Latency
from compress.values.measurement import Measurement, Parity
from compress.values.revision import ENGINE_REVISION
from featherweight.specs.job import JobSpec
from featherweight.specs.protocol import Decision
from featherweight.specs.states import JobState
from store import session
from store.database.clock import utc_now
from store.files import datasets, file_store
from store.files.file_store import FileStore
from store.jobs import jobs
from store.tables.records import ArtifactRecord, JobRecord, RungRecord, TrialRecord


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
        file_store.record(s, stored)
        datasets.create(s, name="bench", stored=stored, task="image_classification", info=info)


def add_job(database: session.Database, trials: int) -> str:
    """A running job with ``trials`` waiting trials, written in bulk; returns its id."""
    with database.write() as s:
        job = _running(s, trials, counts={"waiting": trials})
        s.bulk_insert_mappings(TrialRecord.__mapper__, [_row(job.id, n) for n in range(trials)])
        return job.id


def add_measured_job(database: session.Database, trials: int) -> str:
    """A running job whose baseline and ``trials`` search trials are measured; returns its id."""
    with database.write() as s:
        job = _running(s, trials, counts={"complete": trials + 1})
        job.baseline = _measured(0).model_dump(mode="json")
        file = datasets.get(s, "bench").sha256
        rows = [_row(job.id, n) | _result(n, file) for n in range(trials + 1)]
        s.bulk_insert_mappings(TrialRecord.__mapper__, rows)
        s.bulk_insert_mappings(RungRecord.__mapper__, [_rung(row) for row in rows])
        s.bulk_insert_mappings(ArtifactRecord.__mapper__, [_artifact(row) for row in rows])
        return job.id


def _running(s: session.Session, trials: int, *, counts: dict[str, int]) -> JobRecord:
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
    job.counts = counts
    jobs.move(s, job, JobState.RUNNING)
    return job


def _measured(number: int) -> Measurement:
    """Of the baseline, then of files that each give up a little accuracy for fewer bytes."""
    rng = np.random.default_rng(number)
    share = 1 - 0.9 * float(rng.uniform()) if number else 1.0
    return Measurement(
        accuracy={"validation": 0.9 - 0.3 * (1 - share) ** 2 - 0.05 * float(rng.uniform())},
        class_correct={"validation": (9, 8)},
        target=targets.DEFAULT.name,
        size_bytes=round(100_000 * share),
        parameters=25_000,
        macs=1_000_000,
        latency=Latency(median_ms=share, p95_ms=1.2 * share, threads=1, batch=1),
        parity=Parity(max_abs_error=1e-6, agreement=1.0, images=64),
        seconds={"recover": 2.0, "measure": 1.0},
        engine_revision=ENGINE_REVISION,
    )


def _result(number: int, file: str) -> dict[str, object]:
    measured = _measured(number).model_dump(mode="json")
    return {
        "phase": "search" if number else "baseline",
        "state": "complete",
        "rung": 0,
        "epochs": 0,
        "measurement": measured,
        "violation": -1.0,
        "file_sha256": file,
        "num_attempts": 1,
        "reason": "reached the last rung",
        "started_at": utc_now(),
        "finished_at": utc_now(),
    }


def _rung(row: dict[str, Any]) -> dict[str, object]:
    kept = ("job_id", "phase", "rung", "epochs", "measurement", "violation", "file_sha256")
    decision = Decision(stop=False, reason="reached the last rung").model_dump(mode="json")
    own = {"trial_id": row["id"], "decision": decision, "created_at": utc_now()}
    return {name: row[name] for name in kept} | own


def _artifact(row: dict[str, Any]) -> dict[str, object]:
    return {
        "id": str(uuid.uuid4()),
        "job_id": row["job_id"],
        "trial_id": row["id"],
        "rung": 0,
        "role": "onnx",
        "sha256": row["file_sha256"],
        "size_bytes": row["measurement"]["size_bytes"],
        "created_at": utc_now(),
    }


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
