"""The worker's side of the protocol. Nothing here retries on its own."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pydantic import BaseModel

from featherweight.client import fenced, transport
from featherweight.client.fenced import Answer
from featherweight.client.transport import ONCE, Call, RetryPolicy, Transport
from featherweight.errors import ApiError, FileLost
from featherweight.specs.protocol import (
    FENCE_HEADER,
    Assignment,
    AttemptResult,
    ClaimRequest,
    Decision,
    Failure,
    FileRef,
    Heartbeat,
    HeartbeatReply,
    Report,
    WorkerInfo,
)

_LOST = frozenset({"ArtifactNotFound", "FileCorrupt"})


class Lease(BaseModel, frozen=True, extra="forbid"):
    """An attempt and the secret that makes its holder the owner."""

    attempt: str
    token: str


def lease_of(assignment: Assignment) -> Lease:
    """Return the lease that came with an assignment."""
    return Lease(attempt=assignment.attempt, token=assignment.token)


class WorkerClient:
    """Claim, heartbeat, upload, report, complete, fail, release, fetch.

    Each tries once and raises ServiceUnavailable: the caller knows whether waiting makes sense.
    StaleAttempt means that the attempt is no longer ours.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._transport = Transport(url, token=token, retry=RetryPolicy())
        self.url = self._transport.url

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def claim(self, worker: WorkerInfo, *, wait_seconds: float) -> Assignment | None:
        """Return one trial, or None if there was none within ``wait_seconds``."""
        request = ClaimRequest(worker=worker, wait_seconds=wait_seconds)
        call = Call(
            method="POST",
            path="/v1/attempts",
            json=request.model_dump(mode="json"),
            timeout_seconds=wait_seconds + 15.0,
        )
        answer = self._transport.send(call, retry=ONCE)
        return Assignment.model_validate_json(answer.content) if answer.content else None

    def heartbeat(self, lease: Lease, beat: Heartbeat) -> HeartbeatReply:
        """Extend the lease; the answer may ask to stop."""
        return self._say(HeartbeatReply, lease, "heartbeat", beat, timeout_seconds=5.0)

    def upload(self, lease: Lease, path: Path, *, sha256: str) -> None:
        """Send a file of the attempt. A repeat changes nothing."""
        headers = {
            FENCE_HEADER: lease.token,
            "Content-Length": str(path.stat().st_size),
            "Content-Type": "application/octet-stream",
        }
        target = f"/v1/attempts/{lease.attempt}/files/{sha256}"
        body = partial(transport.content, path)
        call = Call(method="PUT", path=target, headers=headers, body=body, timeout_seconds=120.0)
        self._transport.send(call, retry=ONCE)

    def report(self, lease: Lease, report: Report) -> Decision:
        """Report the measurement at a rung. A repeat gets the first answer again."""
        return self._say(Decision, lease, "reports", report)

    def complete(self, lease: Lease) -> AttemptResult:
        """Say that the trial is done. A repeat changes nothing."""
        return self._say(AttemptResult, lease, "complete")

    def fail(self, lease: Lease, failure: Failure) -> AttemptResult:
        """Say that the attempt failed."""
        return self._say(AttemptResult, lease, "fail", failure)

    def release(self, lease: Lease) -> AttemptResult:
        """Give the trial back."""
        return self._say(AttemptResult, lease, "release")

    def fetch(self, sha256: str, target: Path) -> None:
        """Download weights or a dataset by digest, verified.

        Raises FileLost if the service no longer has it, or knows that it is corrupt; DigestMismatch
        if other bytes arrive.
        """
        try:
            self._transport.download(f"/v1/files/{sha256}", target, sha256=sha256, retry=ONCE)
        except ApiError as error:
            if error.code in _LOST:
                raise FileLost(sha256, str(error)) from error
            raise

    def _say(
        self,
        answer: type[Answer],
        lease: Lease,
        verb: str,
        body: BaseModel | None = None,
        *,
        timeout_seconds: float = 30.0,
    ) -> Answer:
        path = f"/v1/attempts/{lease.attempt}/{verb}"
        return fenced.say(
            self._transport,
            answer,
            path,
            token=lease.token,
            body=body,
            timeout_seconds=timeout_seconds,
        )


def file_ref(path: Path, role: str) -> FileRef:
    """Return the role, digest and length of a file, as a report names it."""
    document = {
        "role": role,
        "sha256": transport.file_digest(path),
        "size_bytes": path.stat().st_size,
    }
    return FileRef.model_validate(document)
