"""Whose something is: the name of the token that made it; and who may change it.

Owners are names, so a new token of the same name goes on owning what the one before it made. What
was made without a token, or before there were owners, has the owner ``""`` and is everybody's.
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
    """Who asks for something.

    ``name`` becomes the owner of what they make: that of their token. It is empty where no tokens
    exist, and for the tokens that our own processes have.
    """

    name: str
    token_id: str | None
    is_admin: bool


NOBODY = Caller(name="", token_id=None, is_admin=True)
"""Whoever asks while no token exists: there is nobody else whose things they could touch."""


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
