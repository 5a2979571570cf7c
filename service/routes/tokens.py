"""Tokens: who may ask for what."""

from typing import Annotated, Literal

from anyio import from_thread
from fastapi import Response
from pydantic import AwareDatetime, BaseModel, Field

from featherweight.specs.names import Name
from featherweight.specs.schemas import Page, TokenSchema
from service.access.auth import ADMIN
from service.access.callers import Sender
from service.http.parameters import Cursor, Limit, TokenId
from service.http.routing import router as guarded
from service.resources import ResourcesDep
from store.access import audit, tokens
from store.attempts import views

router = guarded("tokens")


class TokenSpec(BaseModel, frozen=True, extra="forbid"):
    """A token to make."""

    name: Name
    scopes: Annotated[
        tuple[Literal["read", "submit", "work", "admin"], ...],
        Field(min_length=1, max_length=4, description="'admin' has all, 'submit' also reads."),
    ]
    expires_at: AwareDatetime | None = Field(
        default=None, description="From then on it is worthless; left out, until it is revoked."
    )


@router.get("/v1/tokens", operation_id="list_tokens", dependencies=[ADMIN])
def list_tokens(
    resources: ResourcesDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[TokenSchema]:
    """All tokens without their secrets, revoked ones too, newest first."""
    with resources.database.read() as session:
        records, following = tokens.page(session, limit=limit, cursor=cursor)
        items = tuple(views.token(record) for record in records)
    return Page(items=items, next_cursor=following)


@router.post("/v1/tokens", operation_id="create_token", status_code=201, dependencies=[ADMIN])
def create_token(resources: ResourcesDep, sender: Sender, spec: TokenSpec) -> TokenSchema:
    """Create a token. Its secret is in this answer and nowhere else."""
    with resources.database.write() as session:
        record, secret = tokens.create(
            session, name=spec.name, scopes=spec.scopes, expires_at=spec.expires_at
        )
        audit.note(session, sender.name, "created", record, scopes=" ".join(record.scopes))
        return views.token(record).model_copy(update={"secret": secret})


@router.delete(
    "/v1/tokens/{token_id}", operation_id="revoke_token", status_code=204, dependencies=[ADMIN]
)
def revoke_token(resources: ResourcesDep, sender: Sender, token_id: TokenId) -> Response:
    """Make a token's secret worthless and end its streams. A repeat changes nothing."""
    with resources.database.write() as session:
        if tokens.get(session, token_id).revoked_at is None:
            audit.note(session, sender.name, "revoked", tokens.revoke(session, token_id))
    from_thread.run_sync(resources.streams.end_of, token_id)
    return Response(status_code=204)
