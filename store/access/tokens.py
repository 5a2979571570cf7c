"""Bearer tokens: a name, scopes, and the hash of a secret."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, or_, select
from sqlalchemy.orm import Session

from store import paging
from store.access import secrets
from store.database import clock
from store.database.upserts import insert_new
from store.errors import TokenExpired, TokenNotFound, TokenTaken, WeakSecret
from store.tables.records import SessionRecord, TokenRecord

SCOPES = ("read", "submit", "work", "admin")
PREFIX = "fw_"
OWN = "own"
"""Kind of the tokens that `featherweight up` makes for its own processes."""
SHORTEST_SECRET, LONGEST_SECRET = 32, 200


def check_secret(secret: str, *, of: str) -> None:
    """Refuse a chosen secret that is short enough to be guessed, as only a plain hash is stored.

    Raises WeakSecret, whose message names the kind of secret (``of``) and never the secret itself.
    """
    way_out = "python3 -c 'import secrets; print(secrets.token_hex(24))' makes a good one"
    if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET:
        raise WeakSecret(
            f"{of} has {len(secret)} characters: a token needs {SHORTEST_SECRET} to "
            f"{LONGEST_SECRET}; {way_out}"
        )
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise WeakSecret(f"{of} must be of printable ASCII characters, no blanks; {way_out}")


def create(
    session: Session,
    *,
    name: str,
    scopes: Sequence[str],
    secret: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[TokenRecord, str]:
    """Create a token and return it with its secret, which is not stored and cannot be read again.

    Args:
        session: A writing transaction.
        name: For people.
        scopes: Some of ``SCOPES``.
        secret: Use this one instead of a new random one.
        expires_at: From then on it is worthless; None: it stands until it is revoked.

    Raises:
        TokenTaken: the given secret is another token's.
        WeakSecret: the given secret could be guessed.
        TokenExpired: ``expires_at`` is over.
    """
    unknown = set(scopes) - set(SCOPES)
    if unknown or not scopes:
        raise ValueError(f"scopes must be some of {list(SCOPES)}, got {list(scopes)}")
    if expires_at is not None and expires_at <= clock.utc_now():
        raise TokenExpired(f"a token that expires at {expires_at.isoformat()} is worthless now")
    if secret is not None:
        check_secret(secret, of=f"the token {name!r}")
    secret = secrets.new(PREFIX) if secret is None else secret
    values = {
        "id": str(uuid.uuid4()),
        "name": name,
        "secret_sha256": secrets.digest(secret),
        "scopes": [scope for scope in SCOPES if scope in scopes],
        "created_at": clock.utc_now(),
        "expires_at": expires_at,
    }
    if not insert_new(session, TokenRecord, values):
        raise TokenTaken("this secret belongs to another token: leave it out to get a new one")
    return session.get_one(TokenRecord, values["id"]), secret


def renew_own(session: Session, *, name: str, scopes: Sequence[str], secret: str) -> None:
    """Create the token of our own processes, replacing the one that an earlier start made.

    It is of a kind that ``any_exist`` does not count: the loopback stays open until a user makes
    the first token, and the process that has this token continues to work after that.

    Args:
        session: A writing transaction.
        name: Whose it is; one of each name is kept.
        scopes: Some of ``SCOPES``.
        secret: Made by whoever will use it.
    """
    earlier = (TokenRecord.kind == OWN, TokenRecord.name == name)
    of_it = SessionRecord.token_id.in_(select(TokenRecord.id).where(*earlier))
    session.execute(delete(SessionRecord).where(of_it))
    session.execute(delete(TokenRecord).where(*earlier))
    token, _ = create(session, name=name, scopes=scopes, secret=secret)
    token.kind = OWN


def are_valid() -> tuple[ColumnElement[bool], ...]:
    """Return the SQL conditions for a token that grants access: neither revoked nor expired."""
    endless = TokenRecord.expires_at.is_(None)
    return (
        TokenRecord.revoked_at.is_(None),
        or_(endless, TokenRecord.expires_at > clock.utc_now()),
    )


def find(session: Session, secret: str) -> TokenRecord | None:
    """Return the token with this secret, or None if it does not exist, was revoked or expired."""
    query = select(TokenRecord).where(
        TokenRecord.secret_sha256 == secrets.digest(secret), *are_valid()
    )
    return session.scalars(query).one_or_none()


def page(
    session: Session, *, limit: int, cursor: str | None = None
) -> tuple[list[TokenRecord], str | None]:
    """Return one page of tokens, revoked ones too, newest first. Raises InvalidCursor."""
    key = (TokenRecord.created_at, TokenRecord.id)
    query = select(TokenRecord)
    return paging.fetch(session, query, key, limit=limit, cursor=cursor, descending=True)


def get(session: Session, token_id: str) -> TokenRecord:
    """Return the token, revoked or not. Raises TokenNotFound."""
    token = session.get(TokenRecord, token_id)
    if token is None:
        raise TokenNotFound(f"no token {token_id}")
    return token


def revoke(session: Session, token_id: str) -> TokenRecord:
    """Make the secret worthless and end its sessions. Revoking it again changes nothing.

    Raises TokenNotFound.
    """
    token = get(session, token_id)
    session.execute(delete(SessionRecord).where(SessionRecord.token_id == token_id))
    token.revoked_at = token.revoked_at or clock.utc_now()
    return token


def valid(session: Session, token_ids: Collection[str]) -> frozenset[str]:
    """Return the tokens among these that exist and were neither revoked nor expired."""
    query = select(TokenRecord.id).where(TokenRecord.id.in_(token_ids), *are_valid())
    return frozenset(session.scalars(query))


def any_exist(session: Session) -> bool:
    """Return whether a user ever made a token. Without one the service must stay on loopback."""
    of_users = select(TokenRecord.id).where(TokenRecord.kind != OWN)
    return session.execute(select(exists(of_users))).scalar_one()
