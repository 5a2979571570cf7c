"""Print results: tables for people, or one JSON document on stdout and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console

from featherweight.cli.columns import FittedTable
from featherweight.client.client import Client
from featherweight.settings import ClientSettings

_PIPE_WIDTH = 2000
_SHORT = 8
"""Characters of an id that tables show."""
Thing = TypeVar("Thing")

Url = Annotated[
    str | None,
    typer.Option("--url", help=r"Address of the service. \[env: FEATHERWEIGHT_URL]"),
]
Token = Annotated[
    str | None, typer.Option("--token", help=r"Bearer token. \[env: FEATHERWEIGHT_TOKEN]")
]
Owner = Annotated[
    str | None, typer.Option(help="Only what tokens of this name made.", metavar="NAME")
]
Limit = Annotated[int, typer.Option(min=1, help="Maximum number of entries.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, and nothing else.")]


class Migrated(BaseModel, frozen=True):
    """The result of ``migrate``."""

    revision: str | None
    tokens_created: list[str]
    """Names of those that the environment brought along."""
    has_tokens: bool
    """Whether any was ever made: without one nobody needs any."""


def console(*, stderr: bool = False) -> Console:
    """Return a console that folds nothing and leaves nothing out if there is no terminal."""
    found = Console(stderr=stderr, highlight=False)
    if not found.is_terminal:
        found = Console(stderr=stderr, highlight=False, width=_PIPE_WIDTH)
    return found


def client(url: str | None, token: str | None) -> Client:
    """Return the client that the options and the environment describe."""
    given = {"url": url, "token": token}
    settings = ClientSettings.model_validate(
        {**ClientSettings().model_dump(), **{k: v for k, v in given.items() if v is not None}}
    )
    return Client(settings.url, settings.secret)


def show(thing: Thing, *, as_json: bool, human: Callable[[Thing], object]) -> None:
    """Print ``thing`` as JSON, or as ``human`` formats it."""
    if as_json:
        write_json(thing)
    else:
        console().print(human(thing))


def write_json(thing: Any) -> None:
    """Write one JSON document to stdout."""
    typer.echo(json.dumps(_plain(thing), indent=2))


def write_json_line(thing: BaseModel) -> None:
    """Write one JSON document on one line of stdout, at once."""
    typer.echo(thing.model_dump_json())


def short(job: str) -> str:
    """Return the beginning of an id, as tables show it and commands take it."""
    return job[:_SHORT]


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, spare: Sequence[str] = ()
) -> FittedTable:
    """Return a plain table. Columns whose name starts with ``>`` are aligned to the right.

    Where a terminal has no room for all, the columns in ``spare`` are the first to be left out.
    """
    return FittedTable(columns, rows, spare=spare)


def _plain(thing: Any) -> Any:
    if isinstance(thing, BaseModel):
        return thing.model_dump(mode="json")
    if isinstance(thing, dict):
        return {key: _plain(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_plain(item) for item in thing]
    return thing
