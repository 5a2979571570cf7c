"""``featherweight doctor``: check the installation, and say what would repair it.

Exit status 0: nothing is wrong, 1: something is, 2: it cannot be checked.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from featherweight.cli.output import AsJson, show
from featherweight.errors import FeatherweightError
from featherweight.specs.checkup import Checkup, Finding
from featherweight.system import private
from launch import processes

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    repair: Annotated[bool, typer.Option(help="Mend and remove what is safe.")] = False,
    deep: Annotated[bool, typer.Option(help="Read every stored file.")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="That of `featherweight up`. Left out: the environment's.")
    ] = None,
    database_url: processes.DatabaseUrl = None,
    json: AsJson = False,
) -> None:
    """Compare database, files, studies and processes; say what is wrong and how to mend it."""
    private.guard_process()
    if folder is not None:
        os.environ["FEATHERWEIGHT_DATABASE_URL"] = f"sqlite:///{folder / 'featherweight.db'}"
        os.environ["FEATHERWEIGHT_FILES"] = str(folder / "files")
    if database_url is not None:
        os.environ["FEATHERWEIGHT_DATABASE_URL"] = database_url
    try:
        found = processes.look_over(deep=deep, repair=repair)
    except FeatherweightError as error:
        typer.echo(f"featherweight: cannot look: {error}", err=True)
        raise typer.Exit(2) from error
    show(found, as_json=json, human=_words)
    raise typer.Exit(0 if found.healthy else 1)


def _words(found: Checkup) -> str:
    lines = [f"removed or mended: {count} {name}" for name, count in found.repaired.items()]
    lines += [_of_finding(finding) for finding in found.findings]
    lines += [f"and {count} more of {check}" for check, count in found.left_out.items()]
    return escape("\n".join(lines or ["nothing is wrong"]))


def _of_finding(finding: Finding) -> str:
    return f"{finding.check}: {finding.what}\n  {finding.thing}\n  to mend: {finding.mend}"
