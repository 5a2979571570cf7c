"""Commands about stored things and their changes: each is one call of the client."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from featherweight.cli.layout import inventory_tables, meter_tables
from featherweight.cli.output import AsJson, Limit, Token, Url, client, show

app = typer.Typer(add_completion=False)


@app.command()
def audit(  # noqa: PLR0913 - every option of the command, by name
    actor: Annotated[str | None, typer.Option(help="Only changes by tokens of this name.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only changes of a job, model, dataset or token.")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Only changes of this id.")] = None,
    limit: Limit = 20,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """List what was created, changed and deleted, and by whom, newest first; for admins."""
    with client(url, token) as service:
        entries = service.audit(actor=actor, kind=kind, subject=subject)
        show(list(islice(entries, limit)), as_json=json, human=inventory_tables.audit)


@app.command()
def targets(url: Url = None, token: Token = None, json: AsJson = False) -> None:
    """List where files can run, and in what form they come for it."""
    with client(url, token) as service:
        show(list(service.targets()), as_json=json, human=inventory_tables.targets)


@app.command()
def meters(url: Url = None, token: Token = None, json: AsJson = False) -> None:
    """List the devices that measure files of others, and what waits for each."""
    with client(url, token) as service:
        show(list(service.meters()), as_json=json, human=meter_tables.meters)
