"""Commands about datasets: upload one, look into one, list them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from compress.tasks.formats.input_parts import InputPart
from compress.tasks.formats.targets import called
from compress.tasks.inspection import DatasetInfo
from compress.tasks.names import EXAMPLES, FIRST_TASK
from compress.tasks.reading import SEVERAL_TARGETS, DatasetReading
from compress.values.shown import some
from featherweight import jobfile
from featherweight.cli import progress, tables
from featherweight.cli.output import AsJson, Limit, Owner, Token, Url, client, show, table
from featherweight.client import folders
from featherweight.specs.schemas import DatasetSchema

app = typer.Typer(
    help="List uploaded datasets; add one, or show what is in one.", add_completion=False
)

TargetColumns: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Of a table: the column of the labels, or several (A,B,...) of numbers.",
    ),
]
FeatureColumns: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...",
        help="Of a table: the columns that the network takes; of texts that of the text, or "
        "both of a pair.",
    ),
]
TokenizerFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="tokenizer.json", help="Of texts: what cuts them, if you have it.", exists=True
    ),
]
MaxLength: TypeAlias = Annotated[
    int | None, typer.Option(help="Of texts: most words of one; the rest is cut off.")
]
MaxWords: TypeAlias = Annotated[
    int | None, typer.Option(help="Of texts: most ids that words are given.")
]
KeepCase: TypeAlias = Annotated[
    bool, typer.Option("--keep-case", help="Of texts: words differ by their capitals, too.")
]
WordParts: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--word-parts",
        help="Of tagged sentences: each word is four ids: word, suffix, prefix and shape.",
    ),
]
AxisOrder: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NHWC|NCHW", help="Order of the images' axes, if both are possible."),
]
NumClasses: TypeAlias = Annotated[
    int | None, typer.Option(help="Number of classes, if labels leave some of them out.")
]
PictureSize: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="HxW", help="Height and width that all pictures get."),
]
NumChannels: TypeAlias = Annotated[
    int | None, typer.Option(help="1 makes all pictures grey, 3 makes all RGB.")
]


@app.callback(invoke_without_command=True)
def datasets(
    context: typer.Context,
    owner: Owner = None,
    limit: Limit = 20,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """List uploaded datasets, newest first; or add one, or show what is in one."""
    if context.invoked_subcommand is not None:
        return
    with client(url, token) as service:
        found = list(islice(service.datasets(owner=owner), limit))
        show(found, as_json=json, human=tables.datasets)


@app.command()
def add(  # noqa: PLR0913 - every option of the command, by name
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="npz file, a folder or zip with pictures in a folder for each class, a table, or "
            "texts.",
            exists=True,
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Its name; left out: that of the file, with its digest.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="What the examples are for; left out: image_classification."),
    ] = None,
    target: TargetColumns = None,
    features: FeatureColumns = None,
    tokenizer: TokenizerFile = None,
    max_length: MaxLength = None,
    max_words: MaxWords = None,
    keep_case: KeepCase = False,
    word_parts: WordParts = False,
    layout: AxisOrder = None,
    classes: NumClasses = None,
    size: PictureSize = None,
    channels: NumChannels = None,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Upload a dataset, and show what was understood of it."""
    said = {"layout": layout, "classes": classes, "size": _size(size), "channels": channels}
    columns = None if features is None else features.split(",")
    said |= {"task": task or FIRST_TASK, "target": _columns(target, task), "features": columns}
    said |= {"max_length": max_length, "max_words": max_words}
    said |= {"lower_case": False if keep_case else None, "word_parts": word_parts or None}
    reading = DatasetReading.model_validate(said)
    with (
        folders.as_file(file, tokenizer=tokenizer) as sent,
        client(url, token) as service,
        progress.shown() as tell,
    ):
        named = name or jobfile.named_for(sent)
        found = service.upload_dataset(sent, name=named, reading=reading, tell=tell)
        show(found, as_json=json, human=described)


@app.command(name="show")
def show_dataset(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Name or id of a dataset.")],
    preview: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Write a sheet of images of each class here."),
    ] = None,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Show a dataset's examples, splits, classes and balance, and what is odd about them."""
    with client(url, token) as service:
        show(service.dataset(dataset), as_json=json, human=described)
        if preview is not None:
            service.preview(dataset, preview)


def _columns(text: str | None, task: str | None) -> str | list[str] | None:
    """Return the names of target columns; only some tasks take several."""
    return text.split(",") if text is not None and task in SEVERAL_TARGETS else text


def _size(text: str | None) -> list[str] | None:
    """Return the parts of HEIGHTxWIDTH, which the reading checks."""
    return None if text is None else text.lower().split("x")


def described(found: DatasetSchema) -> RenderableType:
    """Return what a dataset holds: its examples, and the number of each class in each split."""
    info = found.info
    title = f"dataset {found.name} ({found.size_bytes:,} bytes): {info.answer}"
    lines = [title, *_facts(info), *(f"warning: {warning}" for warning in info.warnings)]
    headings = [">class", *(f">{split}" for split in info.splits)]
    return Group(*map(escape, lines), table(headings, list(_rows(info))))


def summary(info: DatasetInfo) -> list[str]:
    """Return lines about a dataset without its table of classes, and without its warnings."""
    splits = ", ".join(f"{images:,} {split}" for split, images in info.splits.items())
    names = [called(label, info.class_names) for label in range(info.num_classes)]
    counts = info.class_counts.get("train")
    if counts is None:
        named = f" ({some(names)})" if info.class_names else ""
        return [f"data: {splits}; {info.answer}{named}", *_facts(info)]
    return [
        f"data: {splits}; {info.answer} ({some(names)}) with {min(counts):,} to "
        f"{max(counts):,} {EXAMPLES[info.task]} of train",
        *_facts(info),
    ]


def _facts(info: DatasetInfo) -> list[str]:
    low, high = info.value_range
    axes = " (channels, height, width)" if info.task == "image_classification" else ""
    return [
        f"{EXAMPLES[info.task]} {'x'.join(map(str, info.input_shape))}{axes}, {info.dtype} from "
        f"{low:g} to {high:g}",
        *(
            [f"normalisation, unless your network was trained with another: {proposed.words}"]
            if (proposed := info.normalisation)
            else []
        ),
        *(["validation is a fifth of train: the file has no such split"] if info.held_out else []),
        *map(_of_part, info.inputs),
        *_of_text(info),
        *(f"note: {note}" for note in info.notes),
    ]


def _of_part(part: InputPart) -> str:
    shape, (low, high) = "x".join(map(str, part.shape)) or "one number", part.value_range
    kind = "whole numbers" if part.is_whole else "numbers"
    return f"input {part.name}: {shape}, {kind} from {low:g} to {high:g}"


def _of_text(info: DatasetInfo) -> Iterator[str]:
    if info.text is None:
        return
    sizes = " + ".join(f"{size:,}" for size in info.vocabulary)
    words = f", {info.text.words_bytes:,} bytes beside a network" * bool(info.text.words_bytes)
    yield f"vocabulary {sizes} ids{words}"
    lengths = ", ".join(f"{mean:.3g} {split}" for split, mean in info.text.mean_length.items())
    yield f"words of one, on average: {lengths}"
    if info.text.unknown:
        shares = ", ".join(f"{share:.1%} {split}" for split, share in info.text.unknown.items())
        yield f"words that are unknown: {shares}"


def _rows(info: DatasetInfo) -> Iterator[tuple[str, ...]]:
    yield ("all", *(f"{images:,}" for images in info.splits.values()))
    for label in range(info.num_classes if info.class_counts else 0):
        yield (
            escape(called(label, info.class_names)),
            *(f"{counts[label]:,}" for counts in info.class_counts.values()),
        )
