"""Handle files that a job needs and the store has lost: the job waits and no trial is spent."""

from __future__ import annotations

from sqlalchemy.orm import Session

from featherweight.specs.protocol import Failure
from featherweight.specs.states import FailureClass, JobState, PauseReason
from store.attempts import assignments
from store.attempts.held_attempt import HeldAttempt
from store.errors import ArtifactNotFound, FileCorrupt, FileMismatch, FileStillLost
from store.files.file_store import FileStore
from store.jobs import events, transitions
from store.tables.records import JobRecord

GONE, CORRUPT = "is gone from the store", "is corrupt in the store"


def state_of(files: FileStore, sha256: str) -> str | None:
    """Return in words how the stored file is lost, or None if it is whole. Reads the whole file.

    Raises OSError if the disk does not answer: the state is then unknown.
    """
    try:
        files.verify_again(sha256)
    except ArtifactNotFound:
        return GONE
    except FileCorrupt:
        return CORRUPT
    return None


def judge(files: FileStore, failure: Failure) -> Failure:
    """Check a file that a worker reports as lost: if it is whole here, it was damaged on its way.

    Raises OSError like ``state_of``.
    """
    found = None if failure.file is None else state_of(files, failure.file)
    if found is not None:
        return failure.model_copy(update={"message": found})
    words = f"the file {failure.file} is whole in the store, but the worker says: "
    if failure.file is None:
        words = "no file is named, but the worker says: "
    return Failure(
        failure_class=FailureClass.INFRASTRUCTURE, message=(words + failure.message)[:4000]
    )


def pause(session: Session, held: HeldAttempt, failure: Failure) -> str:
    """Pause the job because a file of the attempt's trial is lost. Returns the loss in words.

    Raises:
        FileMismatch: the trial needs no such file.
    """
    named = assignments.named(session, held.attempt)
    if failure.file is None or failure.file not in named:
        raise FileMismatch(f"trial {held.trial.id} needs no file {failure.file}")
    what = f"{named[failure.file]} (SHA-256 {failure.file}) {failure.message}"
    detail = (
        f"{what}: restore the file from a backup, or upload the same bytes again, "
        "and resume the job"
    )
    job = held.job
    if job.state == JobState.RUNNING:
        transitions.move_job(
            session, job, JobState.PAUSED, pause_reason=PauseReason.FILE_LOST, detail=detail
        )
    elif job.state == JobState.PAUSED and job.pause_reason is None:
        # A user has paused it already; now there is also a reason not to resume it.
        job.pause_reason, job.pause_detail = PauseReason.FILE_LOST, detail
        data = {"reason": PauseReason.FILE_LOST, "detail": detail}
        events.append(session, job, f"job.{JobState.PAUSED}", data)
    if job.state == JobState.PAUSED:
        job.pause_file = job.pause_file or failure.file
    return what


def check_found(files: FileStore, job: JobRecord) -> None:
    """Raise FileStillLost if the job waits for a file that is still lost. Reads the whole file."""
    if job.pause_file is not None and (found := state_of(files, job.pause_file)) is not None:
        raise FileStillLost(f"the file {job.pause_file} {found}; {job.pause_detail}")
