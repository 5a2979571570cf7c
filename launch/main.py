"""``featherweight``: every command, and the meaning of its exit status.

0 done, 1 failed, 2 wrong usage or input, 3 the service or database does not answer, 130 Ctrl-C;
``doctor`` has its own.
"""

from __future__ import annotations

import sys

import typer
from pydantic import ValidationError

from featherweight import __version__, errors
from featherweight.cli import datasets, inventory, jobs, models
from featherweight.cli.output import AsJson, write_json
from featherweight.specs.job import JobSpec
from featherweight.system import lifeline
from launch import doctor, processes, tokens, up

app = typer.Typer(
    name="featherweight",
    help="Send a trained network and its data; get back a front of smaller networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(up.app)
app.add_typer(jobs.app)
app.add_typer(inventory.app)
app.add_typer(models.app, name="models")
app.add_typer(datasets.app, name="datasets")
app.add_typer(processes.app)
app.add_typer(doctor.app)
app.add_typer(tokens.app, name="token")
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (errors.ServiceUnavailable, 3),
    (errors.Invalid, 2),
    (errors.Ambiguous, 2),
    (errors.InvalidJobFile, 2),
    (errors.UploadRefused, 2),
    (ValidationError, 2),
    (errors.FeatherweightError, 1),
)


@app.command()
def schema(json: AsJson = True) -> None:
    """Print the JSON schema of a job."""
    write_json(JobSpec.model_json_schema())


@app.command()
def version(json: AsJson = False) -> None:
    """Print the version of this package."""
    if json:
        write_json({"version": __version__})
    else:
        typer.echo(__version__)


def main() -> None:
    """Run the command line; an error becomes one message and an exit status."""
    lifeline.die_with_named_parent()
    try:
        app()
    except tuple(kind for kind, _ in _STATUS) as error:
        typer.echo(f"featherweight: {_words(error)}", err=True)
        sys.exit(next(status for kind, status in _STATUS if isinstance(error, kind)))


def _words(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    return "\n  ".join([f"{error.title} is not valid", *lines])


if __name__ == "__main__":
    main()
