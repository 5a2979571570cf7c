"""``featherweight init``: five questions, a look at the files, and a commented job file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from featherweight import jobfile
from featherweight.cli.output import AsJson, write_json
from featherweight.client import folders, uploads
from featherweight.errors import InvalidJobFile, UploadRefused

app = typer.Typer(add_completion=False)
_SAMPLE = "digits"
_NETWORKS, _DATA = ("*.onnx",), ("*.npz", "*.zip")
_MOST_PICTURES_FOLDERS = 50


class Goal(StrEnum):
    """What must get smaller."""

    SIZE = "size"
    SPEED = "speed"
    BOTH = "both"


_OBJECTIVES = {
    Goal.SIZE: ["minimise size_bytes  # the length of the file"],
    Goal.SPEED: ["minimise latency_ms  # the time for one image in ONNX Runtime, on the worker"],
    Goal.BOTH: [
        "minimise size_bytes  # the length of the file",
        "minimise latency_ms  # the time for one image in ONNX Runtime, on the worker",
    ],
}


@dataclass(frozen=True, kw_only=True)
class JobAnswers:
    """The five answers. Without a ``network`` a small one is trained first."""

    network: str
    data: str
    goal: Goal
    points: float
    trials: int


@app.command("init")
def init(  # noqa: PLR0913 - every answer, by name
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Job file to write.")] = Path(
        "job.yaml"
    ),
    network: Annotated[
        str | None, typer.Option(help="ONNX file, or `none`: a small network is trained first.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="npz file, folder or zip of pictures, or `digits`.")
    ] = None,
    goal: Annotated[Goal | None, typer.Option(help="What must get smaller.")] = None,
    points: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Points of accuracy that may be lost at most."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=4, max=10_000, help="How many networks are tried.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    json: AsJson = False,
) -> None:
    """Write a commented job file from five answers; what no option gives is asked."""
    if file.exists() and not force:
        raise InvalidJobFile(f"{file} is there already: give another name, or --force")
    folder = file.parent
    found = JobAnswers(
        network=network or _asked("network", "Your network, an ONNX file", _network_in(folder)),
        data=data or _asked("data", "Your images, an npz file or a folder", _data_in(folder)),
        goal=goal or Goal(_asked("goal", "What must get smaller", Goal.BOTH, Goal)),
        points=points if points is not None else _asked("points", "Points to lose at most", 2.0),
        trials=trials or _asked("trials", "How many networks are tried", 50),
    )
    _look(folder, found)
    _write(file, written(found))
    if json:
        write_json({"file": str(file)})
    else:
        typer.echo(
            f"{file} is written. See what it would do: featherweight submit {file} --dry-run"
        )
        typer.echo(f"Run all of it on this machine:         featherweight up --job {file}")


def written(found: JobAnswers) -> str:
    """Return the job file of these answers, with a comment on every part."""
    objectives = "\n".join(f"  - {line}" for line in _OBJECTIVES[found.goal])
    return f"""\
# `featherweight schema` prints every field that a job may have.

# The network to compress.
model: {_model(found.network)}

# The images it is judged and trained by.
data: {_images(found.data)}

# Left out, every technique is tried: fewer channels, fewer bits, sparse weights, distillation.
# techniques: {{quantization: {{}}, filter_pruning: {{}}}}

# What counts. The result is a front: files of which none is better than another in all of this.
objectives:
  - maximise accuracy  # on the validation images; the search never sees the test images
{objectives}

# What a file must meet. The baseline is the network as it is before anything is done to it.
constraints:
  - accuracy >= baseline - {found.points:g} points

# What the job may cost; more can be given later: featherweight edit JOB --trials 100
budget:
  trials: {found.trials}
  # seconds: 3600  # after so long no new trial would begin

# In the end the best are trained again from new seeds, and measured on the test images as well.
finish: {{trials: {_finish(found.trials)}, finalists: 2}}
"""


def _asked(option: str, words: str, default: Any, kind: type[StrEnum] | None = None) -> Any:
    """Ask a question at a terminal. Raises InvalidJobFile where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise InvalidJobFile(f"there is no terminal to ask at: give --{option}")
    if kind is None:
        return typer.prompt(words, default=default, type=type(default), err=True)
    return _chosen(words, default, kind)


def _chosen(words: str, default: Any, kind: type[StrEnum]) -> str:
    choices = [str(one) for one in kind]
    while True:
        given = typer.prompt(f"{words} ({', '.join(choices)})", default=str(default), err=True)
        if given in choices:
            return given
        typer.echo(f"{given!r} is none of {', '.join(choices)}", err=True)


def _network_in(folder: Path) -> str:
    """Return the ONNX file that lies next to the job file, if there is one."""
    return next((path.name for path in _like(folder, _NETWORKS)), "none")


def _data_in(folder: Path) -> str:
    """Return the npz file or zip next to the job file, or a folder with pictures, or the sample."""
    pictures = (path for path in _folders(folder) if folders.has_pictures(path))
    found = next(iter(_like(folder, _DATA)), None) or next(pictures, None)
    return _SAMPLE if found is None else found.name


def _like(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())


def _folders(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    return found[:_MOST_PICTURES_FOLDERS]


def _look(folder: Path, found: JobAnswers) -> None:
    """Refuse what is no network and no images, in words. Raises UploadRefused, InvalidJobFile."""
    if found.network != "none":
        _check(folder / found.network, lambda path: uploads.check_kind(path, "network"))
    if found.data != _SAMPLE:
        _check(folder / found.data, _check_images)


def _check(path: Path, check: Callable[[Path], None]) -> None:
    if not path.exists():
        raise InvalidJobFile(f"there is no file {path}: paths begin at the folder of the job file")
    check(path)


def _check_images(path: Path) -> None:
    if not path.is_dir():
        uploads.check_kind(path, "dataset")
    elif not folders.has_pictures(path):
        raise UploadRefused(f"{path} holds no pictures: {folders.FORM}")


def _model(network: str) -> str:
    if network != "none":
        return f"{{path: {json.dumps(network, ensure_ascii=False)}}}"
    return """
  architecture: {family: residual, widths: [16, 32, 64], depths: [2, 2, 2]}
  epochs: 30  # it is trained first, from a random start""".removeprefix(" ")


def _images(data: str) -> str:
    if data == _SAMPLE:
        return "{sample: digits}  # 1,797 scans of 8x8 pixels, to try it out"
    return f"{{path: {json.dumps(data, ensure_ascii=False)}}}"


def _finish(trials: int) -> int:
    return 4 if trials >= 20 else 1


def _write(file: Path, text: str) -> None:
    """Put the file in place once it can be read as a job."""
    partial = file.with_name(f".{file.name}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        jobfile.read(partial)
        partial.replace(file)
    except OSError as error:
        raise InvalidJobFile(f"cannot write {file}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
