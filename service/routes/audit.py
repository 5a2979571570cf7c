"""The audit log: who created, changed or deleted what."""

from typing import Annotated

from fastapi import Query

from featherweight.specs.cluster import AuditSchema
from featherweight.specs.schemas import Page
from service.access.auth import ADMIN
from service.http.parameters import Cursor, Limit
from service.http.routing import router as guarded
from service.resources import ResourcesDep
from store.access import audit
from store.access.audit import Kind
from store.attempts import views

router = guarded("audit")

_TEXT = r"^[^\u0000]{1,255}$"


@router.get("/v1/audit", operation_id="list_audit", dependencies=[ADMIN])
def list_audit(
    resources: ResourcesDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    actor: Annotated[
        str | None, Query(max_length=255, pattern=_TEXT, description="Name of a token.")
    ] = None,
    kind: Annotated[Kind | None, Query(description="Of what was changed.")] = None,
    subject: Annotated[
        str | None, Query(max_length=64, pattern=_TEXT, description="Id of what was changed.")
    ] = None,
) -> Page[AuditSchema]:
    """What was created, changed and deleted, and by whom, newest first."""
    with resources.database.read() as session:
        records, following = audit.page(
            session, limit=limit, cursor=cursor, actor=actor, kind=kind, subject=subject
        )
        items = tuple(views.audited(record) for record in records)
    return Page(items=items, next_cursor=following)
