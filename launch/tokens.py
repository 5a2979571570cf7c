"""Commands about tokens. They open the database itself, because the first token needs it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import RenderableType

from featherweight.cli import tables
from featherweight.cli.output import AsJson, show
from featherweight.specs.names import Name
from featherweight.specs.schemas import TokenSchema
from launch import processes

_NAME = TypeAdapter(Name)
app = typer.Typer(
    help="Bearer tokens, straight in the database.", no_args_is_help=True, add_completion=False
)


class Scope(StrEnum):
    """The permissions of a token."""

    READ = "read"
    SUBMIT = "submit"
    WORK = "work"
    ADMIN = "admin"


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose it is: owner of what is made with it.")],
    scope: Annotated[list[Scope], typer.Option(help="May be given several times.")],
    days: Annotated[
        float | None,
        typer.Option(min=0.001, max=36_500, help="Left out: it stands until it is revoked."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Make a token and show its secret, once."""
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        raise typer.BadParameter(f"{name!r} is no name: {error.errors()[0]['msg']}") from error
    ends = None if days is None else datetime.now(UTC) + timedelta(days=days)
    show(processes.create_token(name, scope, expires_at=ends), as_json=json, human=_created)


@app.command("list")
def list_all(json: AsJson = False) -> None:
    """List tokens, without their secrets."""
    show(processes.list_tokens(), as_json=json, human=tables.tokens)


@app.command("revoke")
def revoke(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Id of a token.")],
    json: AsJson = False,
) -> None:
    """Revoke a token."""
    show(processes.revoke_token(token), as_json=json, human=lambda found: f"{found.id} is revoked")


def _created(found: TokenSchema) -> RenderableType:
    ends = "" if found.expires_at is None else f", until {found.expires_at:%Y-%m-%d %H:%M} UTC"
    scopes = " ".join(found.scopes)
    return f"{found.secret}\ntoken {found.id} with scopes {scopes}{ends}; shown only now"
