"""What stands beside a downloaded file: its card, and a program that runs it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError

from compress.network.signature import Layout
from compress.values.errors import InvalidNetwork
from compress.values.file_formats import onnx_header
from featherweight.cards import package, snippets, subject, text_subject
from featherweight.cards.card import ModelCard
from featherweight.cards.subject import Subject
from featherweight.cards.text_subject import TextSubject
from featherweight.client.client import Client
from featherweight.errors import Invalid, NoSnippet, NotFound

app = typer.Typer()
_MOST_CARD_BYTES = 2**24
_NAME = typer.Argument(metavar="FILE", help="An ONNX file, as it was downloaded.")


def write_card(service: Client, artifact: str, path: Path, *, target: str | None) -> None:
    """Write the card of a downloaded file beside it; a file without one is named on stderr."""
    try:
        found = service.card(artifact, target=target)
        text = service.card_in_markdown(artifact, target=target)
    except (Invalid, NotFound) as error:
        typer.echo(f"{path}: no card is written: {error}", err=True)
        return
    path.with_suffix(".json").write_text(f"{found.model_dump_json(indent=2)}\n", encoding="utf-8")
    path.with_suffix(".md").write_text(text, encoding="utf-8")


def write_words(service: Client, artifact: str, path: Path) -> list[Path]:
    """Write the words of a network of texts beside it, with its name; nothing of another one."""
    try:
        found = service.words(artifact)
    except (Invalid, NotFound):
        return []
    places: list[Path] = []
    for name, content in package.written(found).items():
        places.append(path.with_suffix(f".{name}"))
        places[-1].write_bytes(content)
    return places


@app.command()
def snippet(
    file: Annotated[Path, _NAME],
    language: Annotated[
        Literal["python", "javascript", "cpp", "java"],
        typer.Option(help="Language of the program."),
    ] = "python",
    layout: Annotated[
        Layout | None,
        typer.Option(help="Order of the axes of images, where neither file nor card says it."),
    ] = None,
) -> None:
    """Print a program that runs a file in ONNX Runtime; a card beside it is read, too."""
    typer.echo(snippets.write(_subject(file, layout), language), nl=False)


def _subject(path: Path, layout: Layout | None) -> Subject | TextSubject:
    try:
        with path.open("rb") as file:
            header = onnx_header.read(file)
    except (OSError, InvalidNetwork) as error:
        raise NoSnippet(f"{path}: {error}") from error
    card = _card_beside(path)
    if card is None:
        return subject.of(header, layout=layout)
    if card.text is not None:
        return text_subject.of(header, card.text.settings, card.output.class_names)
    return subject.of(
        header,
        layout=layout or card.input.layout,
        classes=card.output.class_names,
        value_range=card.input.value_range,
    )


def _card_beside(path: Path) -> ModelCard | None:
    """Return the card of exactly this file, or None: another one's says nothing about it."""
    place = path.with_suffix(".json")
    if place == path or not place.is_file() or place.stat().st_size > _MOST_CARD_BYTES:
        return None
    try:
        found = ModelCard.model_validate_json(place.read_bytes())
    except ValidationError:
        return None
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(found.file.size_bytes)).hexdigest()
    return found if digest == found.file.sha256 else None
