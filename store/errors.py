"""Errors of this room: each class is a fact, and its name is the code that a user sees."""


class StoreError(Exception):
    """The store could not do what was asked."""


class NotFound(StoreError):
    """Nothing of that id or name is stored."""


class JobNotFound(NotFound):
    """No job has this id."""


class JobDeleted(JobNotFound):
    """The job was deleted: only its spec is left, while a job that started from it is there."""


class TrialNotFound(NotFound):
    """No trial has this id."""


class ModelNotFound(NotFound):
    """No model has this id or name."""


class DatasetNotFound(NotFound):
    """No dataset has this id or name."""


class ArtifactNotFound(NotFound):
    """No such file is stored."""


class AttemptNotFound(NotFound):
    """No attempt has this id."""


class MeasurementNotFound(NotFound):
    """No meter is to measure a file under this id."""


class UploadNotFound(NotFound):
    """No upload has this id."""


class TokenNotFound(NotFound):
    """No token has this id."""


class Conflict(StoreError):
    """What was asked contradicts what is stored."""


class IdempotencyConflict(Conflict):
    """The idempotency key was used before with another body."""


class ModelNotReady(Conflict):
    """The model is being inspected: no job can use it yet."""


class NameTaken(Conflict):
    """Something else has this name already."""


class TokenTaken(Conflict):
    """This secret belongs to another token already."""


class WeakSecret(StoreError):
    """A secret from outside could be guessed, or could not be sent in a header."""


class TokenExpired(StoreError):
    """The token would be worthless from the beginning: choose a time that is still to come."""


class StaleAttempt(Conflict):
    """The worker does not own the attempt any more: drop the trial and claim another."""


class IllegalTransition(Conflict):
    """The state does not allow this step."""


class JobNotFinished(Conflict):
    """The job has not ended: cancel it first."""


class StillInUse(Conflict):
    """A job refers to it."""


class DuplicateCandidate(Conflict):
    """The job has tried this candidate with this seed in this phase already."""


class BudgetLowered(Conflict):
    """The budget of a job can only be raised."""


class NotOpenedAgain(Conflict):
    """The job is over, and more budget would not let its search go on."""


class BudgetExhausted(Conflict):
    """The job has all the trials of its budget."""


class RungOutOfOrder(Conflict):
    """The trial does not stand before this rung."""


class FileMismatch(Conflict):
    """The reported files do not fit the report."""


class MetricMissing(Conflict):
    """The job compares files by a number that the report does not have."""


class UploadOffsetMismatch(Conflict):
    """The bytes do not continue the upload where it stands."""


class UploadBusy(Conflict):
    """Another request is writing to this upload."""


class FileBusy(Conflict):
    """The same bytes are being removed or stored by another request: try again."""


class FileStillLost(Conflict):
    """The job waits for a file that the store has lost: restore it, then resume the job."""


class CandidatesWait(Conflict):
    """Candidates that somebody proposed are tried first."""


class NotRunning(Conflict):
    """The job takes no new trials any more."""


class NotOwner(StoreError):
    """It belongs to another owner: only a token of that name, or an admin, may change it."""


class JobLimitReached(StoreError):
    """The owner has as many unfinished jobs as one may have."""


class StorageLimitReached(StoreError):
    """The owner has as many bytes stored as one may have."""


class TooManyMeters(StoreError):
    """As many meters are known as there may be."""


class FileTooLarge(StoreError):
    """The file is larger than allowed."""


class FileCorrupt(StoreError):
    """The stored file is not what was once written: restore it from a backup."""


class DigestMismatch(StoreError):
    """The bytes that arrived do not have the announced SHA-256."""


class SchemaOutdated(StoreError):
    """The database's schema is not this version's: run ``featherweight migrate``."""


class BrokenReferences(StoreError):
    """Rows of the database refer to rows that are not there: restore it from a backup."""


class InvalidCursor(StoreError):
    """The cursor was not made by this listing: start again without one."""
