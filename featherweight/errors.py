"""Errors of the client: each class is a fact; ``ApiError`` carries the service's own words."""

from __future__ import annotations

from featherweight.specs.schemas import Problem


class FeatherweightError(Exception):
    """Base of everything the client raises."""


FOREIGN = "HTTP "
"""Begins the code of an answer that is no problem document."""


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
    """The service cannot give a file that it has promised."""

    def __init__(self, sha256: str, message: str) -> None:
        super().__init__(message)
        self.sha256 = sha256


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


class Unauthorised(ApiError):
    """No token, or one that the service does not know."""


class Forbidden(ApiError):
    """The token may not do this."""


class NotFound(ApiError):
    """What was named does not exist."""


class Gone(NotFound):
    """What was named existed and was deleted."""


class Conflict(ApiError):
    """The request contradicts the state of things."""


class StaleAttempt(Conflict):
    """The attempt has ended or belongs to another worker now."""


class TooLarge(ApiError):
    """The body is over the limit."""


class Invalid(ApiError):
    """The request is not one the service can understand or accept."""


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
    """The most telling class for a problem."""
    kind = _BY_CODE.get(problem.code) or _BY_STATUS.get(problem.status, ApiError)
    return kind(problem)


def _words(problem: Problem) -> str:
    lines = [f"{problem.code}: {problem.detail or problem.title}"]
    for error in problem.errors:
        place = ".".join(str(part) for part in error.get("loc", ())) or error.get("field", "")
        lines.append(f"  {place}: {error.get('msg') or error.get('message') or error}")
    return "\n".join(lines)
