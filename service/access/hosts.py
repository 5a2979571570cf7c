"""Decide by the Host header whether a request was sent to a name that only this machine has.

A foreign page can make its own name point to 127.0.0.1 and then read our answers (DNS rebinding);
it cannot change the name that the browser writes into this header.
"""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers

from service.settings import LOOPBACK_NAMES

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::[0-9]{1,5})?")


def is_loopback_request(headers: Headers) -> bool:
    """Return whether the request names this machine by a loopback name or address."""
    found = _HOST.fullmatch(headers.get("host", ""))
    if found is None or len(headers.getlist("host")) > 1:
        return False
    name = found[1] or found[2]
    if name.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
