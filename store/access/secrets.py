"""Secrets are handed out once and kept as hashes: the database alone opens no door."""

from __future__ import annotations

import hashlib
import hmac
import secrets


def new(prefix: str = "") -> str:
    """A secret of 256 random bits, safe in a header."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """SHA-256 of the secret, hex. No slow hash is needed: the secret itself is random."""
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, sha256: str) -> bool:
    """Whether this is the secret behind the hash, in constant time."""
    return hmac.compare_digest(digest(secret), sha256)
