"""The certificate authorities that a process trusts when it speaks TLS."""

from __future__ import annotations

import ssl
from functools import cache

import httpx2


@cache
def trusted(*, by_environment: bool) -> ssl.SSLContext:
    """Return a context that trusts the usual authorities, read once for a process: it takes 50 ms.

    With ``by_environment``, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` may name others.
    """
    return httpx2.create_ssl_context(trust_env=by_environment)
