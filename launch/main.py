"""``featherweight``: every command, and the meaning of its exit status.

0 done, 1 failed, 2 wrong usage or input, 3 the service or database does not answer, 130 Ctrl-C;
``doctor`` has its own.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from featherweight import __version__
from featherweight.system import lifeline
from launch.commands import LazyCommands

app = typer.Typer(
    name="featherweight",
    cls=LazyCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def featherweight(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version."),
    ] = False,
) -> None:
    """Send a trained network and its data; get back a front of smaller networks."""


def main() -> None:
    """Run the command line; an error becomes one message and an exit status."""
    lifeline.die_with_named_parent()
    try:
        app(prog_name="featherweight")
    except Exception as error:
        status = _status(error)
        if status is None:
            raise
        typer.echo(f"featherweight: {_words(error)}", err=True)
        sys.exit(status)


def _status(error: Exception) -> int | None:
    """Return the exit status of an error that is told in words; None for one that is not."""
    # Imported only now: what goes well must not wait for it.
    from pydantic import ValidationError

    from featherweight import errors

    invalid = (
        errors.Invalid,
        errors.Ambiguous,
        errors.InvalidJobFile,
        errors.NoSnippet,
        errors.UploadRefused,
    )
    if isinstance(error, errors.ServiceUnavailable):
        return 3
    if isinstance(error, (*invalid, ValidationError)):
        return 2
    return 1 if isinstance(error, errors.FeatherweightError) else None


def _words(error: Exception) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    return "\n  ".join([f"{error.title} is not valid", *lines])


if __name__ == "__main__":
    main()
