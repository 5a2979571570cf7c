"""Decide who owns a record (the name of the token that made it) and who may change it.

Owners are names, so a new token with the same name continues to own what the previous one made.
Records made without a token, or before owners existed, have the owner ``""`` and belong to
everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from store.errors import NotOwner
from store.tables.records import DatasetRecord, JobRecord, ModelRecord, UploadRecord

Owned = JobRecord | ModelRecord | DatasetRecord | UploadRecord
_WORDS: Mapping[type[Owned], str] = {
    JobRecord: "job",
    ModelRecord: "model",
    DatasetRecord: "dataset",
    UploadRecord: "upload",
}


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The sender of a request.

    ``name`` is the name of the token and becomes the owner of what the caller makes. It is empty if
    no tokens exist, and for the tokens of our own processes.
    """

    name: str
    token_id: str | None
    is_admin: bool


NOBODY = Caller(name="", token_id=None, is_admin=True)
"""The caller while no token exists: there is nobody else whose records could be changed."""


def check(record: Owned, caller: Caller) -> None:
    """Raise NotOwner unless the caller may change the record.

    Call it in the transaction that makes the change. Nothing ever changes an owner.
    """
    if caller.is_admin or record.owner in ("", caller.name):
        return
    raise NotOwner(
        f"{_WORDS[type(record)]} {record.id} belongs to {record.owner!r}: only a token of that "
        "name, or one with the scope 'admin', may change it"
    )
