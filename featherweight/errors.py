"""Errors of the client: each class is a fact; ``ApiError`` has the message of the service."""

from __future__ import annotations

from featherweight.specs.schemas import Problem


class FeatherweightError(Exception):
    """The base of all errors of the client."""


FOREIGN = "HTTP "
"""Prefix of the code of an answer that is not a problem document."""


class ServiceUnavailable(FeatherweightError):
    """The service did not answer, or answered that it cannot serve now."""

    def __init__(self, message: str, *, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class InvalidJobFile(FeatherweightError):
    """A job file cannot be read as a job; the message says where and what was expected."""


class DigestMismatch(FeatherweightError):
    """The received bytes are not the ones that were promised."""


class FileLost(FeatherweightError):
    """The service cannot deliver a file that it has promised."""

    def __init__(self, sha256: str, message: str) -> None:
        super().__init__(message)
        self.sha256 = sha256


class Unknown(FeatherweightError):
    """Nothing is called what the user wrote; the message has what is called nearly so."""


class Ambiguous(FeatherweightError):
    """What the user wrote fits several things; the message has their ids."""


class ApiError(FeatherweightError):
    """The service refused; ``problem`` says why, ``code`` is the name of its error class."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(_words(problem))
        self.problem = problem

    @property
    def code(self) -> str:
        """Name of the service's error class."""
        return self.problem.code

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.problem.status

    @property
    def is_foreign(self) -> bool:
        """Whether the answer was no problem document, so not the service's own."""
        return self.code.startswith(FOREIGN)


class NotInspected(FeatherweightError):
    """The inspection of a model has not ended in time."""


class UploadRefused(FeatherweightError):
    """A file to upload cannot be used; the message says why, and the way out."""


class NoSnippet(FeatherweightError):
    """No program can be written for a file; the message says why, and the way out."""


class NoMetadata(FeatherweightError):
    """A file cannot be given with metadata; the message says why, and the way out."""


class Unauthorised(ApiError):
    """There is no token, or the service does not know it."""


class Forbidden(ApiError):
    """The token does not allow this."""


class NotFound(ApiError):
    """The named thing does not exist."""


class Gone(NotFound):
    """The named thing existed and was deleted."""


class Conflict(ApiError):
    """The request contradicts the stored state."""


class StaleAttempt(Conflict):
    """The attempt has ended or belongs to another worker now."""


class TooLarge(ApiError):
    """The body is over the limit."""


class Invalid(ApiError):
    """The request is not one that the service can understand or accept."""


DAMAGED = "DigestMismatch"
"""Code of the service's answer to bytes that are not the announced ones."""
_BY_CODE: dict[str, type[ApiError]] = {"StaleAttempt": StaleAttempt}
_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorised,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    415: Invalid,
    422: Invalid,
}


def of(problem: Problem) -> ApiError:
    """Return the most specific class for a problem."""
    kind = _BY_CODE.get(problem.code) or _BY_STATUS.get(problem.status, ApiError)
    return kind(problem)


def _words(problem: Problem) -> str:
    lines = [f"{problem.code}: {problem.detail or problem.title}"]
    for error in problem.errors:
        place = ".".join(str(part) for part in error.get("loc", ())) or error.get("field", "")
        lines.append(f"  {place}: {error.get('msg') or error.get('message') or error}")
    return "\n".join(lines)
