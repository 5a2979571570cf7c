"""The job of ``featherweight up``: submitted once, continued after a restart, shown at its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from featherweight.cli import follow, tables
from featherweight.cli.output import console
from featherweight.client.client import Client
from featherweight.client.transport import file_digest
from featherweight.errors import Conflict
from featherweight.jobfile import JobFile
from featherweight.specs.schemas import FrontPoint, FrontSchema, JobSchema
from featherweight.specs.states import JobState
from featherweight.system import private
from launch.local_cluster import LocalCluster


class Marker(BaseModel, frozen=True):
    """Which submission of which file runs here; a restart continues it."""

    file_sha256: str
    run: str
    job: str | None = None

    @property
    def key(self) -> str:
        """The idempotency key: the same after a restart, and new for another run."""
        return f"up-{self.file_sha256[:16]}-{self.run}"


def run(
    client: Client, read: JobFile, path: Path, *, cluster: LocalCluster, json_path: Path | None
) -> bool:
    """Submit the job of a file or go on with it, show it to its end; return if it succeeded."""
    out = console()
    submitted = _submitted(client, read, digest=file_digest(path), folder=cluster.folder)
    out.print(f"job        {cluster.url}/ui/jobs/{submitted.id}", soft_wrap=True)
    for warning in submitted.warnings:
        out.print(f"warning: {warning}", markup=False, soft_wrap=True)
    try:
        ended = follow.follow(client, submitted, console(stderr=True))
    except KeyboardInterrupt:
        out.print("stopped before the end; the same command goes on with the job")
        raise
    _show(client, ended, cluster=cluster, json_path=json_path)
    return ended.state == JobState.SUCCEEDED


def _submitted(client: Client, job: JobFile, *, digest: str, folder: Path) -> JobSchema:
    """Return the unfinished job that an earlier run submitted from the same file, or a new one."""
    path = folder / "up.json"
    marker = _read(path)
    if marker is None or marker.file_sha256 != digest:
        marker = _remember(path, Marker(file_sha256=digest, run=uuid4().hex))
    spec = job.resolve(client)
    try:
        found = client.submit(spec, idempotency_key=marker.key)
    except Conflict:
        found = None  # the file is the same, but what it resolves to has changed
    if found is None or found.state.is_finished:
        marker = _remember(path, Marker(file_sha256=digest, run=uuid4().hex))
        found = client.submit(spec, idempotency_key=marker.key)
    _remember(path, marker.model_copy(update={"job": found.id}))
    return found


def _read(path: Path) -> Marker | None:
    return Marker.model_validate_json(path.read_bytes()) if path.exists() else None


def _remember(path: Path, marker: Marker) -> Marker:
    partial = path.with_name(".up.json.part")
    with private.open_file(partial, "wb") as file:
        file.write(marker.model_dump_json().encode())
    partial.replace(path)
    return marker


def _show(client: Client, job: JobSchema, *, cluster: LocalCluster, json_path: Path | None) -> None:
    out, front, report = console(), client.front(job.id), client.report(job.id)
    out.print(tables.job(job))
    out.print(tables.result(front, report))
    if json_path is not None:
        folder = cluster.folder / "fronts" / job.id
        document = _document(client, job, front, folder)
        document["report"] = report.model_dump(mode="json")
        json_path.write_text(json.dumps(document, indent=2) + "\n")
        out.print(f"the front is in {json_path}, its files are in {folder}", soft_wrap=True)


def _document(client: Client, job: JobSchema, front: FrontSchema, folder: Path) -> dict[str, Any]:
    recommendation = client.recommendation(job.id)
    baseline = front.baseline
    return {
        "job": job.id,
        "state": job.state,
        "baseline": None if baseline is None else _entry(client, baseline, folder),
        "front": [_entry(client, point, folder) for point in front.points],
        "recommendation": recommendation.model_dump(mode="json"),
    }


def _entry(client: Client, point: FrontPoint, folder: Path) -> dict[str, Any]:
    measured = point.measurement
    return {
        "trial": point.trial,
        "number": point.number,
        "candidate": point.candidate.model_dump(mode="json"),
        "description": point.description,
        "path": str(client.download(point, folder)),
        "sha256": point.sha256,
        "size_bytes": point.size_bytes,
        "download_bytes": measured.download_bytes,
        "peak_memory_bytes": measured.peak_memory_bytes,
        "accuracy": dict(measured.accuracy),
        "test": None if point.test is None else point.test.model_dump(mode="json"),
        "validation": None
        if point.validation is None
        else point.validation.model_dump(mode="json"),
        "latency_ms": measured.latency.median_ms,
        "latency_p95_ms": measured.latency.p95_ms,
        "latency_ratio": measured.latency.ratio,
        "latency_device": measured.latency.device,
        "latency_busy": measured.latency.busy,
        "latency_within": measured.latency.within,
        "manifest": client.manifest(point.artifact),
        "feasible": point.feasible,
    }
