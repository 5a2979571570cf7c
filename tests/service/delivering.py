"""Files that a worker has delivered, with their manifest."""

import hashlib
from typing import Any

from compress.techniques.candidate import Candidate
from featherweight.specs import manifest as manifests
from featherweight.specs.manifest import Input, Manifest, Origin
from featherweight.specs.protocol import FileRef, Report
from store.attempts import attempts
from store.files import file_store
from tests import factories
from tests.service.running import Service

CONTENT = bytes(range(256)) * 4
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def delivered(service: Service, content: bytes = CONTENT, **changes: Any) -> dict[str, Any]:
    measured = factories.measurement(0.95, len(content))
    service.searching_job(**changes)
    with service.database.write() as session:
        assignment = factories.must_claim(session)
        document = manifests.dump(manifest(assignment.job, measured, content)).encode()
        refs = [
            kept(service, session, "onnx", content),
            kept(service, session, "manifest", document),
        ]
        report = Report(rung=0, epochs=0, measurement=measured, files=tuple(refs))
        attempts.report(
            session, assignment.attempt, assignment.token, report, decide=factories.climb
        )
    found = service.client.get(f"/v1/trials/{assignment.trial}/artifacts").json()
    return {artifact["role"]: artifact for artifact in found}


def kept(service: Service, session: Any, role: str, content: bytes) -> FileRef:
    """A file that a worker has sent."""
    stored = service.files.put([content], limit=10_000)
    file_store.record(session, stored)
    fields = {"role": role, "sha256": stored.sha256, "size_bytes": stored.size_bytes}
    return FileRef.model_validate(fields)


def manifest(job: str, measured: Any, content: bytes = CONTENT) -> Manifest:
    candidate = Candidate()
    return Manifest(
        candidate=candidate,
        candidate_digest=candidate.digest(),
        architecture=factories.ARCHITECTURE,
        origin=Origin(job=job, trial=1, rung=0, epochs=0, seed=0, data_sha256="0" * 64),
        input=Input(shape=(1, 8, 8), normalisation=factories.NORMALISATION),
        num_classes=2,
        measurement=measured,
        file_sha256=hashlib.sha256(content).hexdigest(),
        file_bytes=len(content),
        versions={"python": "3.11"},
    )
