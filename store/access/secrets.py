"""Make and compare secrets. They are shown once and stored as hashes only."""

from __future__ import annotations

import hashlib
import hmac
import secrets


def new(prefix: str = "") -> str:
    """Return a secret of 256 random bits, safe in a header."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return the SHA-256 (hex) of the secret. It needs no slow hash, because it is random."""
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, sha256: str) -> bool:
    """Return whether this is the secret behind the hash, in constant time."""
    return hmac.compare_digest(digest(secret), sha256)
