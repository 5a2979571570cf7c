"""What the tests of the service share: a service in process, small files, and a worker."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from compress.network.families import layout
from featherweight.specs.states import JobState, StopReason
from service.app import create_app
from service.http import serving
from service.settings import ServiceSettings
from store.access import tokens
from store.files.file_store import FileStore
from store.jobs import jobs
from store.session import Database, open_database
from store.trials import trials
from tests import factories

LOOPBACK = "http://127.0.0.1"
BROWSER = {"Accept": "text/html"}


@dataclass(frozen=True)
class Service:
    """A running service, and the database and files behind it."""

    client: TestClient
    database: Database
    files: FileStore
    settings: ServiceSettings

    def token(self, *scopes: str, name: str = "test") -> dict[str, str]:
        """The header of a new token."""
        with self.database.write() as session:
            _, secret = tokens.create(session, name=name, scopes=scopes)
        return {"Authorization": f"Bearer {secret}"}

    def dataset(self, name: str = "digits") -> None:
        """A dataset that jobs can name."""
        with self.database.write() as session:
            factories.dataset(session, name)

    def searching_job(self, **changes: Any) -> str:
        """Id of a running job with a measured baseline and waiting trials."""
        with self.database.write() as session:
            return factories.searching_job(session, **changes).id

    def submit(self, **changes: Any) -> dict[str, Any]:
        """Post a job on the dataset ``digits``."""
        answer = self.client.post("/v1/jobs", json=spec(**changes))
        assert answer.status_code == 201, answer.text
        return answer.json()


@contextmanager
def serve(database_url: str, folder: Path, **settings: Any) -> Iterator[Service]:
    """A service on this database, its files in ``folder``."""
    chosen = ServiceSettings(database_url=database_url, files=folder / "files", **settings)
    database = open_database(database_url, check_schema=False)
    with TestClient(create_app(chosen), base_url=LOOPBACK) as client:
        yield Service(client, database, FileStore(chosen.files), chosen)
    database.dispose()


def spec(**changes: Any) -> dict[str, Any]:
    """A valid job as JSON."""
    return json.loads(factories.spec().model_dump_json()) | changes


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The problem in an answer that must be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert (found["status"], found["code"]) == (status, code), found
    assert found["detail"]
    return found


def npz(**arrays: Any) -> bytes:
    """A small dataset file: 40 grey 8x8 images of two classes, unless arrays are given."""
    random = np.random.default_rng(0)
    default = {
        "x_train": random.integers(0, 16, (40, 8, 8), dtype=np.uint8),
        "y_train": np.arange(40) % 2,
    }
    buffer = io.BytesIO()
    np.savez(buffer, **(arrays or default))
    return buffer.getvalue()


def weights(*, in_channels: int = 1, num_classes: int = 2) -> bytes:
    """A safetensors file that fits ``factories.ARCHITECTURE``; every weight is zero."""
    shapes = layout.tensor_shapes(
        factories.ARCHITECTURE, in_channels=in_channels, num_classes=num_classes
    )
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + bytes(end)


def sha256(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def form(content: bytes, **fields: Any) -> dict[str, Any]:
    """Arguments of a post that uploads a file."""
    return {
        "data": {"spec": json.dumps(fields)},
        "files": {"file": ("file", content, "application/octet-stream")},
    }


MODEL_FIELDS: dict[str, Any] = {
    "name": "network",
    "architecture": factories.ARCHITECTURE.model_dump(mode="json"),
    "normalisation": factories.NORMALISATION.model_dump(mode="json"),
}


def claim(service: Service, name: str = "worker", wait_seconds: float = 0) -> Any:
    """Ask for work over HTTP."""
    worker = factories.worker_info(name).model_dump(mode="json")
    body = {"worker": worker, "wait_seconds": wait_seconds}
    return service.client.post("/v1/attempts", json=body)


@contextmanager
def listening(settings: ServiceSettings) -> Iterator[str]:
    """Address of a service on a real socket: for streams, broken lines and long polls."""
    server = serving.Server(create_app(settings), host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def until(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Wait for a condition that another thread or process makes true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true after {seconds} seconds"
        time.sleep(0.01)


def finish(
    session: Session,
    job_id: str,
    reason: StopReason = StopReason.FINISHED,
    to: JobState = JobState.SUCCEEDED,
) -> None:
    """End a job, with what waits in it."""
    job = jobs.lock(session, job_id)
    trials.stop_waiting(session, job, "over")
    jobs.move(session, job, JobState.STOPPING, reason=reason)
    jobs.move(session, job, to)
