"""Commands about tokens. They work on the database itself: the first token has to come first."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.console import RenderableType

from featherweight.cli import processes, tables
from featherweight.cli.output import AsJson, show
from featherweight.specs.schemas import TokenSchema

app = typer.Typer(help="Bearer tokens, straight in the database.", no_args_is_help=True)


class Scope(StrEnum):
    """What a token may do."""

    READ = "read"
    SUBMIT = "submit"
    WORK = "work"
    ADMIN = "admin"


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who or what it is for.")],
    scope: Annotated[list[Scope], typer.Option(help="May be given several times.")],
    json: AsJson = False,
) -> None:
    """Make a token and show its secret, once."""
    show(processes.create_token(name, scope), as_json=json, human=_created)


@app.command("list")
def list_all(json: AsJson = False) -> None:
    """List tokens, without their secrets."""
    show(processes.list_tokens(), as_json=json, human=tables.tokens)


@app.command("revoke")
def revoke(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Id of a token.")],
    json: AsJson = False,
) -> None:
    """End a token."""
    show(processes.revoke_token(token), as_json=json, human=lambda found: f"{found.id} is revoked")


def _created(found: TokenSchema) -> RenderableType:
    return f"{found.secret}\ntoken {found.id} with scopes {' '.join(found.scopes)}; shown only now"
