"""Runs schemathesis against a furnished service: all operations, all phases, all checks."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from store.database import migrate
from store.jobs import jobs
from tests import factories, onnx_files
from tests.running import ROOT
from tests.service.delivering import delivered
from tests.service.running import MODEL_FIELDS, Service, form, listening, npz, serve, weights

PHASES = "examples,coverage,fuzzing,stateful"
CONFIG = ROOT / "tests/service/schemathesis.toml"
DATABASE = "FEATHERWEIGHT_TEST_CONTRACT_DATABASE"
KNOWN = "FEATHERWEIGHT_TEST_CONTRACT_IDS"
REASONS = "FEATHERWEIGHT_TEST_CONTRACT_REASONS"
_HOOKS = "tests.service.contract_hooks"
_QUICK = {"stream_seconds": 0.2, "claim_seconds": 0.2, "lease_seconds": 3600}
"""Streams and claims end soon, by the limits that an operator has, too."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and what it said."""

    status: int
    words: str
    seconds: float

    @property
    def summary(self) -> str:
        return self.words[self.words.rfind("= SUMMARY =") :]


@dataclass(frozen=True)
class Furnished:
    """A service on a socket, the address of its database, and ids of what it has."""

    url: str
    database_url: str
    known: dict[str, list[str]]


@contextmanager
def furnished(folder: Path) -> Iterator[Furnished]:
    """A service with jobs, trials, files, uploads, and an attempt that somebody holds."""
    database_url = f"sqlite:///{folder}/featherweight.db"
    migrate.upgrade(database_url)
    with serve(database_url, folder, **_QUICK) as service:
        known = _furnish(service)
        with listening(service.settings) as url:
            yield Furnished(url, database_url, known)


def run(place: Furnished, *, examples: int, seed: int, asks_for_reasons: bool = False) -> Outcome:
    """All of it once, all checks that schemathesis has, and if asked to one more of our own.

    What is generated follows from the seed and from what the service answers.
    """
    began = time.monotonic()
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            f"--config-file={CONFIG}",
            "run",
            f"{place.url}/openapi.json",
            f"--phases={PHASES}",
            "--checks=all",
            f"--max-examples={examples}",
            f"--seed={seed}",
            "--no-shrink",
            "--no-color",
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": _HOOKS,
            DATABASE: place.database_url,
            KNOWN: json.dumps(place.known),
            REASONS: "yes" if asks_for_reasons else "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(done.returncode, done.stdout + done.stderr, time.monotonic() - began)


def _furnish(service: Service) -> dict[str, list[str]]:
    files = delivered(service, onnx_files.network(names=("pixels", "scores")))
    job, trial = files["onnx"]["job"], files["onnx"]["trial"]
    with service.database.write() as session:
        found = jobs.get(session, job)
        for _ in range(4):
            factories.trial(session, found)
        held = factories.must_claim(session, "another", lease_seconds=3600)
    further = [service.submit(name=f"job-{number}")["id"] for number in range(3)]
    service.client.post("/v1/datasets", **form(npz(), name="shapes"))
    service.client.post("/v1/models", **form(weights(), **MODEL_FIELDS))
    uploads = [service.client.post("/v1/uploads", json={"size_bytes": 10}).json()["id"]]
    return {
        "job_id": [job, *further],
        "trial_id": [trial, held.trial],
        "artifact_id": [one["id"] for one in files.values()],
        "attempt_id": [held.attempt],
        "fence": [held.token],
        "upload_id": uploads,
        "reference": ["shapes", "network"],
        "sha256": [files["onnx"]["sha256"]],
        "data": ["shapes", "digits"],
    }
