"""Every route of the application, with an address that fits it: for tests that leave none out."""

import re

from service.app import ROUTERS
from service.http.routing import Guarded

_VALUES = {"sha256": "0" * 64, "rest": "anything"}


def routes(*methods: str) -> list[Guarded]:
    """Routes that are answered to one of the methods, or all of them."""
    every = [route for router in ROUTERS for route in router.routes]
    found = [route for route in every if isinstance(route, Guarded)]
    assert found == every
    return [route for route in found if not methods or route.methods & set(methods)]


def address(route: Guarded) -> str:
    """A path of the route: ids are well formed, and of nothing that is there."""
    return re.sub(r"{(\w+)(:path)?}", lambda found: _VALUES.get(found[1], "none"), route.path)


def named(route: Guarded) -> str:
    """The route in the name of a test."""
    return f"{sorted(route.methods)[0]} {route.path}"
