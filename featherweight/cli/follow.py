"""Show a running job: bars on a terminal, a line per event anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from featherweight.cli import tables
from featherweight.client.client import Client
from featherweight.errors import ServiceUnavailable
from featherweight.specs.schemas import EventSchema, JobSchema

_ENDED = frozenset({"trial.complete", "trial.stopped", "trial.failed"})
_FRONT_EVERY_SECONDS = 2.0


@dataclass(kw_only=True)
class JobStanding:
    """The state of the job, collected from its events."""

    total: int
    phase: str = "queued"
    done: int = 0
    best: str = ""
    front_at: float = 0.0


class ProgressView(Protocol):
    """A view of the progress of a job."""

    def show(self, event: EventSchema, standing: JobStanding) -> None:
        """Show an event and the resulting state of the job."""
        ...


def follow(client: Client, job: JobSchema, console: Console) -> JobSchema:
    """Show the job until it ends, through outages and restarts. Returns the ended job."""
    standing = JobStanding(total=job.spec.budget.trials)
    with _view(console, standing) as view:
        for event in client.watch(job.id):
            _count(event, standing)
            _look_at_front(event, standing, client)
            view.show(event, standing)
    return client.job(job.id)


def line(event: EventSchema) -> str:
    """Return one event in words."""
    data = event.data
    words = [event.type, *_trial(data), str(data.get("description") or ""), *_numbers(data)]
    words.append(str(data.get("reason") or data.get("phase") or ""))
    if event.type == "job.paused":
        words.append(str(data.get("detail") or ""))
    return "  ".join(word for word in words if word)


@contextmanager
def _view(console: Console, standing: JobStanding) -> Iterator[ProgressView]:
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = [
        TextColumn("{task.fields[phase]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("trials"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[best]}"),
    ]
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bars(progress, total=standing.total)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, event: EventSchema, standing: JobStanding) -> None:
        if event.type in ("trial.created", "trial.running"):
            return
        done = f"[{standing.done}/{standing.total}] {event.at:%H:%M:%S} {line(event)}"
        self._console.print(escape(done), soft_wrap=True)


class _Bars:
    def __init__(self, progress: Progress, *, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("job", total=total, phase="queued", best="")

    def show(self, event: EventSchema, standing: JobStanding) -> None:
        # Re-runs are not counted in the budget.
        completed = min(standing.done, standing.total)
        best = escape(standing.best)
        self._progress.update(self._task, completed=completed, phase=standing.phase, best=best)


def _count(event: EventSchema, standing: JobStanding) -> None:
    if event.type in _ENDED:
        standing.done += 1
        standing.total = max(standing.total, standing.done)
    elif event.type == "job.phase":
        standing.phase = str(event.data.get("phase", standing.phase))
    elif event.type.startswith("job."):
        standing.phase = event.type.removeprefix("job.")


def _look_at_front(event: EventSchema, standing: JobStanding, client: Client) -> None:
    now = time.monotonic()
    if event.type != "trial.rung" or now - standing.front_at < _FRONT_EVERY_SECONDS:
        return
    standing.front_at = now
    try:
        front = client.front(event.job)
    except ServiceUnavailable:
        return  # the view keeps what it knew; the events come again by themselves
    if front.recommended is not None:
        standing.best = f"{len(front.points)} files on the front; {front.recommendation}"


def _trial(data: dict[str, Any]) -> list[str]:
    if "number" not in data:
        return []
    rung = f" rung {data['rung']}" if data.get("rung") is not None else ""
    return [f"trial {data['number']}{rung}"]


def _numbers(data: dict[str, Any]) -> list[str]:
    if data.get("accuracy") is None or data.get("size_bytes") is None:
        return []
    return [tables.percent(data["accuracy"]), f"{data['size_bytes']:,} bytes"]
