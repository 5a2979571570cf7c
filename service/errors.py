"""Errors of this room, and the one table of HTTP statuses of all errors."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from compress.values.errors import CompressError
from search.errors import SearchError
from store import errors as store_errors


class ServiceError(Exception):
    """The request could not be served as sent."""

    def __init__(self, detail: str | None = None, *, headers: Mapping[str, str] | None = None):
        super().__init__(detail or (type(self).__doc__ or "").strip())
        self.headers = dict(headers or {})


class NotAuthenticated(ServiceError):
    """A valid token is needed: send it as 'Authorization: Bearer fw_...', or log in at /login."""


class ScopeMissing(ServiceError):
    """The token is valid and does not have the scope that this needs."""


class CrossOrigin(ServiceError):
    """A page of another origin must not change anything here."""


class HostNotAllowed(ServiceError):
    """Without tokens the service answers only to loopback names, as in http://127.0.0.1."""


class BodyTooLarge(ServiceError):
    """The body is over the limit."""


class BodyTooSlow(ServiceError):
    """The rest of the body did not arrive in time."""

    def __init__(self, detail: str | None = None) -> None:
        # The rest may still come, and must not be read as the next request.
        super().__init__(detail, headers={"Connection": "close"})


class TooManyBodies(ServiceError):
    """The maximum number of request bodies is being received."""


class TooManyInspections(ServiceError):
    """Too many uploaded files wait for inspection."""


class TooManyConversions(ServiceError):
    """Too many files are being converted for other targets."""


class ConversionRefused(ServiceError):
    """The file cannot be given in the form of that target."""


class NotDescribed(ServiceError):
    """There is no card, no program or no metadata for the file."""


class BodyInvalid(ServiceError):
    """The body could not be read as its content type says."""


class FileAmbiguous(ServiceError):
    """A form has either the part 'file' or the part 'upload', and not both."""


class UnsupportedMediaType(ServiceError):
    """The content type is not one that this address takes."""


class RangeNotSatisfiable(ServiceError):
    """The range lies outside the file."""


class UnknownModel(ServiceError):
    """The job names a model that was never uploaded."""


class UnknownDataset(ServiceError):
    """The job names a dataset that was never uploaded."""


class ModelRefused(ServiceError):
    """The inspection of the model has refused it: no job can use it."""


class ModelDoesNotFitData(ServiceError):
    """The network's channels or classes are not those of the dataset."""


class DashboardUnavailable(ServiceError):
    """The dashboard's process does not answer; start it with 'featherweight dashboard'."""


class TooManyStreams(ServiceError):
    """The maximum number of event streams of this token or address is open: close one first."""


class TooManyLogins(ServiceError):
    """Too many logins from this address failed: wait a minute."""


class CannotLook(ServiceError):
    """The doctor cannot look: the database does not answer, or there is none."""


class NotReady(ServiceError):
    """Something that the service needs does not work."""


STATUS: Mapping[type[Exception], HTTPStatus] = {
    store_errors.StoreError: HTTPStatus.INTERNAL_SERVER_ERROR,
    store_errors.NotFound: HTTPStatus.NOT_FOUND,
    store_errors.JobDeleted: HTTPStatus.GONE,
    store_errors.Conflict: HTTPStatus.CONFLICT,
    store_errors.NotOwner: HTTPStatus.FORBIDDEN,
    store_errors.JobLimitReached: HTTPStatus.FORBIDDEN,
    store_errors.StorageLimitReached: HTTPStatus.FORBIDDEN,
    store_errors.TooManyMeters: HTTPStatus.FORBIDDEN,
    store_errors.FileTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    store_errors.DigestMismatch: HTTPStatus.UNPROCESSABLE_ENTITY,
    store_errors.InvalidCursor: HTTPStatus.UNPROCESSABLE_ENTITY,
    store_errors.TokenExpired: HTTPStatus.UNPROCESSABLE_ENTITY,
    store_errors.SchemaOutdated: HTTPStatus.SERVICE_UNAVAILABLE,
    SearchError: HTTPStatus.UNPROCESSABLE_ENTITY,
    CompressError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    ScopeMissing: HTTPStatus.FORBIDDEN,
    CrossOrigin: HTTPStatus.FORBIDDEN,
    HostNotAllowed: HTTPStatus.FORBIDDEN,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    BodyTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    TooManyBodies: HTTPStatus.TOO_MANY_REQUESTS,
    TooManyInspections: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyConversions: HTTPStatus.SERVICE_UNAVAILABLE,
    ConversionRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotDescribed: HTTPStatus.UNPROCESSABLE_ENTITY,
    BodyInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    FileAmbiguous: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    RangeNotSatisfiable: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    UnknownModel: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnknownDataset: HTTPStatus.UNPROCESSABLE_ENTITY,
    ModelDoesNotFitData: HTTPStatus.UNPROCESSABLE_ENTITY,
    ModelRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    DashboardUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyStreams: HTTPStatus.TOO_MANY_REQUESTS,
    TooManyLogins: HTTPStatus.TOO_MANY_REQUESTS,
    CannotLook: HTTPStatus.SERVICE_UNAVAILABLE,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Error to status; a class that is not listed has the status of its nearest listed base."""


def status_of(error: type[Exception]) -> HTTPStatus:
    """Return the status of an error: that of its nearest listed base."""
    for base in error.__mro__:
        if base in STATUS:
            return STATUS[base]
    return HTTPStatus.INTERNAL_SERVER_ERROR
