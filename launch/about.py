"""Commands about this package itself; they need no service."""

from __future__ import annotations

import typer

from featherweight import __version__
from featherweight.cli.output import AsJson, write_json

app = typer.Typer(add_completion=False)


@app.command()
def schema(json: AsJson = True) -> None:
    """Print the JSON schema of a job."""
    from featherweight.specs.job import JobSpec

    write_json(JobSpec.model_json_schema())


@app.command()
def version(json: AsJson = False) -> None:
    """Print the version of this package."""
    if json:
        write_json({"version": __version__})
    else:
        typer.echo(__version__)
