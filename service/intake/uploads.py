"""Receive models and datasets: bytes, then an inspection, then a record; or nothing at all."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from anyio import CancelScope
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from featherweight.system.bounded import GivenUp
from service.access import callers
from service.errors import BodyInvalid, FileAmbiguous
from service.http import body_parsing, strict_json
from service.http.forms import UPLOAD
from service.intake import multipart
from service.intake.multipart import FormReader
from service.resources import Resources
from store.access import audit, limits
from store.access.owners import Caller
from store.errors import UploadNotFound
from store.files import file_store, uploads
from store.files.file_store import Incoming, StoredFile
from store.session import Session
from store.tables.records import DatasetRecord, FileRecord, ModelRecord

Spec = TypeVar("Spec", bound=BaseModel)
Found = TypeVar("Found")
Kept = TypeVar("Kept", ModelRecord, DatasetRecord)
Keep: TypeAlias = Callable[[Session, StoredFile, Found], tuple[Kept, bool]]
_PARTS = frozenset({"spec", "file", "upload"})
_LONGEST_LENGTH = 20
"""Digits of a length that is worth reading; ``bodies`` refuses longer ones."""


@dataclass(frozen=True, kw_only=True)
class Remade(Generic[Found]):
    """A file that was made of the one that was sent, to be kept in its place, and what it is."""

    file: Incoming
    found: Found


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A received form: its sender, the description of the file, and the file or an upload."""

    sender: Caller
    spec: str
    file: Incoming | None
    upload: str | None


@asynccontextmanager
async def receive(resources: Resources, request: Request) -> AsyncIterator[Delivery]:
    """Read the form; its file is gone afterwards unless it was stored.

    Raises:
        BodyTooLarge: more bytes than a file may have and a mebibyte of form.
        BodyTooSlow: its sender has stopped.
        BodyInvalid: not a form with ``spec`` and exactly one of ``file`` and ``upload``.
        StorageLimitReached: the announced bytes are more than their owner may have.
        TooManyBodies, TooManyInspections: others are on their way already.
    """
    limit, lane = resources.settings.max_upload_bytes, resources.lanes.uploads
    resources.lanes.inspections.check()
    await run_in_threadpool(_check_announced, resources, request)
    form = FormReader(multipart.boundary(request), partial(resources.files.arriving, limit=limit))
    pace, most = body_parsing.pace_of(request), limit + body_parsing.MAX_FORM_OVERHEAD_BYTES
    try:
        with lane.places.taken(body_parsing.senders(request), pace):
            chunks = body_parsing.bounded(request, limit=most, pace=pace)
            await body_parsing.pass_on(chunks, lambda piece: lane.run(partial(form.write, piece)))
        form.finish()
        yield _delivery(form, callers.of(request))
    finally:
        with CancelScope(shield=True):
            await lane.run(form.drop)


def read_spec(kind: type[Spec], text: str) -> Spec:
    """Return the form's JSON part. Raises RequestValidationError that says where in it."""
    try:
        document = body_parsing.read_json(text)
    except ValueError as error:
        entry = {"type": "json_invalid", "loc": ("body", "spec"), "msg": str(error)}
        raise RequestValidationError([entry]) from error
    return strict_json.understand(kind, document, "spec")


def store_file(
    resources: Resources,
    delivery: Delivery,
    *,
    inspect: Callable[[Path, StoredFile], Found | Remade[Found]],
    keep: Keep[Found, Kept],
    known: Callable[[Session, StoredFile], Kept | None] | None = None,
) -> tuple[Kept, bool]:
    """Store the file, look inside, and keep it with its record. Returns what ``keep`` does.

    That is the record, and whether it is a new one; nobody looks into a file whose record ``known``
    finds. If ``inspect`` makes another file of it, that one is kept in its place. Where ``inspect``
    or ``keep`` raises, or the owner has no room for it, neither the record nor the bytes stay,
    unless somebody else has stored the same bytes. An upload that was taken in before is what it
    became then, so that a request whose answer was lost can be sent again.
    """
    with ExitStack() as holds:
        stored = _stored(resources, delivery, holds)
        # After the hold has ended, for only who is alone may remove.
        with _giving_up(resources, delivery, stored), holds:
            # Before the look inside, which may take long: the client may ask again meanwhile.
            _note_finished(resources, delivery, stored)
            if known is not None:
                with resources.database.read() as session:
                    record = known(session, stored)
                if record is not None:
                    return record, False
            found = inspect(resources.files.path(stored.sha256), stored)
            if isinstance(found, Remade):
                return _keep_remade(resources, delivery, found, keep)
            return _keep(resources, delivery, stored, found, keep)


def discard(
    resources: Resources,
    sender: Caller,
    reference: str,
    *,
    delete: Callable[[Session, str, Caller], ModelRecord | DatasetRecord],
) -> None:
    """Forget a model or dataset by its ``delete``, and its bytes where nothing refers to them."""
    with resources.database.write() as session:
        found = delete(session, reference, sender)
        audit.note(session, sender.name, "deleted", found)
        file_store.forget(session, found.sha256)
    _drop_unknown(resources, found.sha256)


def _check_announced(resources: Resources, request: Request) -> None:
    length = request.headers.get("content-length", "")
    announced = int(length) if length.isdecimal() and len(length) < _LONGEST_LENGTH else 0
    with resources.database.read() as session:
        limits.check_coming(
            session,
            callers.of(request).name,
            size_bytes=max(0, announced - body_parsing.MAX_FORM_OVERHEAD_BYTES),
            most=resources.settings.stored_bytes_per_token,
        )


def _artifact_bytes(resources: Resources, sender: Caller) -> int:
    with resources.database.read() as session:
        return limits.artifact_bytes(session, sender.name)


def _note_new(
    resources: Resources, session: Session, record: ModelRecord | DatasetRecord, artifacts: int
) -> None:
    most = resources.settings.stored_bytes_per_token
    limits.check_bytes(session, record.owner, most=most, artifacts=artifacts)
    audit.note(session, record.owner, "created", record)


def _stored(resources: Resources, delivery: Delivery, holds: ExitStack) -> StoredFile:
    if delivery.file is not None:
        return resources.files.keep(delivery.file, holds=holds)
    assert delivery.upload is not None
    with resources.database.read() as session:
        upload = uploads.get_own(session, delivery.upload, delivery.sender)
        size_bytes, sha256 = upload.size_bytes, upload.sha256
    if sha256 is not None:
        # It was taken in before and the answer was lost: the same request gets the same answer.
        holds.enter_context(resources.files.held(sha256))
        return StoredFile(sha256=sha256, size_bytes=size_bytes)
    return resources.files.adopt_upload(delivery.upload, expected_size=size_bytes, holds=holds)


def _note_finished(resources: Resources, delivery: Delivery, stored: StoredFile) -> None:
    if delivery.upload is None:
        return
    with resources.database.write() as session:
        own = uploads.get_own(session, delivery.upload, delivery.sender)
        uploads.finish(session, own.id, sha256=stored.sha256)


def _keep_remade(
    resources: Resources, delivery: Delivery, remade: Remade[Found], keep: Keep[Found, Kept]
) -> tuple[Kept, bool]:
    """Keep the file that was made of the one that was sent; the upload becomes that one, too."""
    try:
        with ExitStack() as holds:
            stored = resources.files.keep(remade.file, holds=holds)
            with _dropping_unknown(resources, stored.sha256), holds:
                _note_finished(resources, delivery, stored)
                return _keep(resources, delivery, stored, remade.found, keep)
    finally:
        remade.file.drop()


def _keep(
    resources: Resources,
    delivery: Delivery,
    stored: StoredFile,
    found: Found,
    keep: Keep[Found, Kept],
) -> tuple[Kept, bool]:
    artifacts = _artifact_bytes(resources, delivery.sender)
    with resources.database.write() as session:
        record, is_new = keep(session, stored, found)
        if is_new:
            _note_new(resources, session, record, artifacts)
        return record, is_new


@contextmanager
def _giving_up(resources: Resources, delivery: Delivery, stored: StoredFile) -> Iterator[None]:
    """Drop the bytes if nothing came of them, unless their sender may name the upload again.

    Raises UploadNotFound if the upload was deleted meanwhile.
    """
    try:
        with ExitStack() as drop:
            drop.enter_context(_dropping_unknown(resources, stored.sha256))
            try:
                yield
            except GivenUp:
                if _is_known(resources, delivery):
                    drop.pop_all()
                raise
    except GivenUp as error:
        raise UploadNotFound("nobody waits for this file any more: it was not kept") from error


def _is_known(resources: Resources, delivery: Delivery) -> bool:
    if delivery.upload is None:
        return False
    with resources.database.read() as session:
        return bool(uploads.known(session, [delivery.upload]))


@contextmanager
def _dropping_unknown(resources: Resources, sha256: str) -> Iterator[None]:
    try:
        yield
    finally:
        _drop_unknown(resources, sha256)


def _drop_unknown(resources: Resources, sha256: str) -> None:
    """Remove bytes that no record refers to, unless somebody is storing the same ones now.

    Table and disk are two stores: what decides, and acts, holds the lock over both. Whoever stores
    the bytes drops them, too, if nothing comes of it.
    """
    with resources.files.alone(sha256) as is_alone:
        if not is_alone:
            return
        with resources.database.write() as session:
            if session.get(FileRecord, sha256) is not None:
                return
            uploads.forget(session, sha256)
        resources.files.delete(sha256)


def _delivery(form: FormReader, sender: Caller) -> Delivery:
    file = {form.file_name} if form.file is not None else set[str]()
    unknown = sorted((file | set(form.texts)) - _PARTS)
    if unknown:
        raise BodyInvalid(f"unknown part {unknown[0][:80]!r}: expected {sorted(_PARTS)}")
    spec, upload = form.texts.get("spec"), form.texts.get("upload")
    if spec is None:
        raise BodyInvalid("the part 'spec' (JSON) is missing")
    if file - {"file"} or (form.file is None and upload is None):
        raise BodyInvalid("send either the part 'file', or the part 'upload'")
    if form.file is not None and upload is not None:
        raise FileAmbiguous
    if upload is not None and re.fullmatch(UPLOAD, upload) is None:
        raise BodyInvalid("the part 'upload' must be the id of a finished upload")
    return Delivery(sender=sender, spec=spec, file=form.file, upload=upload)
