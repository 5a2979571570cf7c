"""Everything the service must still be told, written to disk before it is sent.

There is one folder per attempt: the lease, a folder per reached rung with the report and its files,
and the last decision. Everything may be sent twice and nothing needs to be sent in a hurry: after a
kill the next process finds the folder and settles it.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from featherweight.client.worker_client import Lease, WorkerClient, lease_of
from featherweight.errors import DAMAGED, ApiError, Forbidden, Unauthorised
from featherweight.specs.protocol import Assignment, Decision, Failure, Report
from featherweight.specs.states import FailureClass
from workers.connection import RetryingConnection, is_answer, is_lost

FILE_NAMES: Mapping[str, str] = {
    "onnx": "model.onnx",
    "manifest": "manifest.json",
    "weights": "weights.safetensors",
    "profile": "profile.json",
}
_ATTEMPT_FILE = "label.json"
_LONGEST_MESSAGE = 4000
_log = logging.getLogger(__name__)


class SpooledAttempt(BaseModel, frozen=True):
    """The attempt that a folder of the spool belongs to."""

    lease: Lease
    job: str
    number: int
    last_rung: int


class Verdict(BaseModel, frozen=True):
    """How the attempt ends."""

    kind: Literal["complete", "fail", "release"]
    failure: Failure | None = None


class Decided(BaseModel, frozen=True):
    """The service's newest decision."""

    rung: int
    decision: Decision


COMPLETE = Verdict(kind="complete")
RELEASE = Verdict(kind="release")


class AttemptSpool:
    """The part of the spool that belongs to one attempt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.attempt = SpooledAttempt.model_validate_json((folder / _ATTEMPT_FILE).read_bytes())
        self._newest: Decided | None = None

    def draft(self, rung: int) -> Path:
        """Return an empty folder for the files of a rung, named as in ``FILE_NAMES``."""
        folder = self.folder / f"draft-{rung:03d}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def put(self, report: Report) -> None:
        """Commit the draft of this rung: it will be sent."""
        draft = self.folder / f"draft-{report.rung:03d}"
        _write(draft / "report.json", report)
        for file in draft.iterdir():
            _sync(file)
        _sync(draft)
        draft.replace(self.folder / f"rung-{report.rung:03d}")
        _sync(self.folder)

    def pending(self) -> list[int]:
        """Return the rungs whose reports were not answered yet."""
        # A kill during the removal of an answered rung leaves a part of it.
        answered = -1 if self._decided is None else self._decided.rung
        found = (int(folder.name[5:]) for folder in self.folder.glob("rung-*"))
        return sorted(rung for rung in found if rung > answered)

    def deliver(
        self, rung: int, *, client: WorkerClient, connection: RetryingConnection
    ) -> Decision:
        """Send a rung's files and report, and keep the decision. Raises ApiError and Stopped."""
        folder, lease = self.folder / f"rung-{rung:03d}", self.attempt.lease
        report = Report.model_validate_json((folder / "report.json").read_bytes())
        for ref in report.files:
            path = folder / FILE_NAMES[ref.role]
            connection.call(partial(client.upload, lease, path, sha256=ref.sha256))
        decision = connection.call(partial(client.report, lease, report))
        self._note(Decided(rung=rung, decision=decision), folder)
        return decision

    def _note(self, decided: Decided, answered: Path) -> None:
        # On a full disk the answer is lost with this process; the next one asks again.
        self._newest = decided
        try:
            _write(self.folder / "decided.json", decided)
            shutil.rmtree(answered)
        except OSError as error:
            _log.warning("the answer to rung %d cannot be written: %s", decided.rung, error)

    @property
    def is_over(self) -> bool:
        """Whether the service has ended the trial with its answer to the last report."""
        decided = self._decided
        if decided is None:
            return False
        return decided.decision.stop or decided.rung == self.attempt.last_rung

    @property
    def _decided(self) -> Decided | None:
        if self._newest is not None:
            return self._newest
        answered = self.folder / "decided.json"
        return Decided.model_validate_json(answered.read_bytes()) if answered.exists() else None

    def close(self) -> None:
        """Remove the folder, because nothing more has to be sent."""
        # A folder without this file is removed later: a kill in between must leave no half folder.
        try:
            (self.folder / _ATTEMPT_FILE).unlink(missing_ok=True)
        except OSError as error:
            _log.warning(
                "the spool of trial %d cannot be removed yet: %s", self.attempt.number, error
            )
        shutil.rmtree(self.folder, ignore_errors=True)


class Spool:
    """The spool of one worker, with a folder for each attempt."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def open(self, assignment: Assignment) -> AttemptSpool:
        """Return the folder of an attempt, new or as it was left."""
        folder = self._folder / assignment.attempt
        folder.mkdir(exist_ok=True, mode=0o700)
        attempt = SpooledAttempt(
            lease=lease_of(assignment),
            job=assignment.job,
            number=assignment.number,
            last_rung=len(assignment.rungs) - 1,
        )
        _write(folder / _ATTEMPT_FILE, attempt)
        _sync(self._folder)
        return AttemptSpool(folder)

    def opened(self, assignment: Assignment) -> AttemptSpool:
        """Return the folder of an attempt that another process of this worker has opened."""
        return AttemptSpool(self._folder / assignment.attempt)

    def leftovers(self) -> Iterator[AttemptSpool]:
        """Yield attempts that an earlier process could not settle."""
        for folder in sorted(self._folder.iterdir()):
            if (folder / _ATTEMPT_FILE).exists():
                yield AttemptSpool(folder)
            else:
                shutil.rmtree(folder, ignore_errors=True)


def settle(
    spooled: AttemptSpool, *, client: WorkerClient, connection: RetryingConnection, verdict: Verdict
) -> None:
    """Send everything that must still be sent, then forget the attempt.

    Pending reports go first, then ``verdict`` if none of them has ended the trial. An attempt that
    is no longer ours is dropped with a line in the log. Raises Stopped if asked to stop during an
    outage, and ApiError if the service accepts nothing from us; the folder then remains. Only what
    the service has checked and refused is deleted.
    """
    try:
        _tell_all(spooled, client=client, connection=connection, verdict=verdict)
    except ApiError as error:
        if not is_lost(error):
            if _is_refusal(error):
                spooled.close()
            raise
        _log.warning(
            "trial %d belongs to somebody else, dropped: %s", spooled.attempt.number, error
        )
    spooled.close()


def _tell_all(
    spooled: AttemptSpool, *, client: WorkerClient, connection: RetryingConnection, verdict: Verdict
) -> None:
    lease = spooled.attempt.lease
    try:
        for rung in spooled.pending():
            spooled.deliver(rung, client=client, connection=connection)
        if not spooled.is_over:
            _say(verdict, lease, client=client, connection=connection)
    except ApiError as error:
        if is_lost(error) or not _is_refusal(error):
            raise
        # An attempt that never ends would be handed to this worker again and again.
        message = f"the service refused what the trial had to say: {error}"[:_LONGEST_MESSAGE]
        is_damaged = error.code == DAMAGED
        kind = FailureClass.INFRASTRUCTURE if is_damaged else FailureClass.BUG
        refused = Failure(failure_class=kind, message=message)
        _say(Verdict(kind="fail", failure=refused), lease, client=client, connection=connection)


def _is_refusal(error: ApiError) -> bool:
    """Return whether the service has checked what was sent; without a valid token it does not."""
    return is_answer(error) and not isinstance(error, (Unauthorised, Forbidden))


def _say(
    verdict: Verdict, lease: Lease, *, client: WorkerClient, connection: RetryingConnection
) -> None:
    match verdict:
        case Verdict(kind="fail", failure=Failure() as failure):
            connection.call(lambda: client.fail(lease, failure))
        case Verdict(kind="complete"):
            connection.call(lambda: client.complete(lease))
        case _:
            connection.call(lambda: client.release(lease))


def _write(path: Path, document: BaseModel) -> None:
    partial_path = path.with_name(f".{path.name}.part")
    with os.fdopen(
        os.open(partial_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
    ) as file:
        file.write(document.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    partial_path.replace(path)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
