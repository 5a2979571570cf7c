"""Optuna's dashboard under this address and these tokens, for reading only."""

from fastapi import Request, Response

from service.access.auth import READ
from service.dashboard import proxy
from service.http.routing import PassedOn
from service.http.routing import router as guarded
from service.resources import ResourcesDep

router = guarded("dashboard", route_class=PassedOn)

PATHS = (
    "/dashboard",
    "/dashboard/{rest:path}",
    "/api/{rest:path}",
    "/static/{rest:path}",
    "/csv/{rest:path}",
    "/artifacts/{rest:path}",
)
"""Addresses that the dashboard's pages ask for; they cannot be moved under a prefix."""


async def show_dashboard(resources: ResourcesDep, request: Request) -> Response:
    """Return the dashboard's own answer."""
    return await proxy.forward(request, resources.dashboard)


for path in PATHS:
    router.add_api_route(
        path,
        show_dashboard,
        methods=["GET", "HEAD"],
        dependencies=[READ],
        response_class=Response,
        include_in_schema=False,
    )
