"""Commands about networks: upload one, look into one, list them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from compress.network.families import catalog
from compress.network.preprocessing import Normalisation
from compress.network.signature import ExampleShape
from featherweight import documents, jobfile
from featherweight.cli import networks, tables
from featherweight.cli.output import AsJson, Limit, Owner, Token, Url, client, show

app = typer.Typer(
    help="List uploaded models; add one, or show what is in one.", add_completion=False
)


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    owner: Owner = None,
    limit: Limit = 20,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """List uploaded models, newest first; or add one, or show what is in one."""
    if context.invoked_subcommand is not None:
        return
    with client(url, token) as service:
        found = list(islice(service.models(owner=owner), limit))
        show(found, as_json=json, human=tables.models)


@app.command()
def add(  # noqa: PLR0913 - every option of the command, by name
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="ONNX file, or safetensors weights.", exists=True)
    ],
    name: Annotated[
        str | None, typer.Option(help="Its name; left out: that of the file, with its digest.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(metavar="JSON", help="Family and config of safetensors weights.")
    ] = None,
    normalisation: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="What happens to raw values first, as in "
            '\'{"scale": 0.00392, "mean": [0.5], "std": [0.5]}\'; an ONNX file needs none.',
        ),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option(
            metavar="CxHxW", help="Axes of one example of an ONNX file that leaves them open."
        ),
    ] = None,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Upload a network and wait until it is inspected; show what is in it, or why it is refused."""
    config = None if architecture is None else catalog.read(_read(architecture))
    values = None if normalisation is None else Normalisation.model_validate(_read(normalisation))
    with client(url, token) as service:
        found = jobfile.uploaded_model(
            service,
            file,
            name=name,
            architecture=config,
            normalisation=values,
            input_shape=_shape(input_shape),
        )
        show(found, as_json=json, human=networks.model)


@app.command(name="show")
def show_model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name or id of a model.")],
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Show a model's state, its layers with shapes, parameters and MACs, and what can be done."""
    with client(url, token) as service:
        show(service.model(model), as_json=json, human=networks.model)


def _shape(text: str | None) -> ExampleShape | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(
            f"expected the sizes of the axes of one example, as in 3x224x224 or 64: {text}"
        )
    return tuple(map(int, parts))


def _read(text: str) -> Any:
    try:
        return documents.read_json(text)
    except documents.InvalidDocument as error:
        raise typer.BadParameter(str(error)) from error
