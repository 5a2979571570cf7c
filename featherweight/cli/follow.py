"""Show a running job: two calm lines on a terminal, a line per event anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from featherweight.cli import tables
from featherweight.client.client import Client
from featherweight.errors import ServiceUnavailable
from featherweight.specs.schemas import EventSchema, FrontSchema, JobSchema

_ENDED = frozenset({"trial.complete", "trial.stopped", "trial.failed"})
_LOOK_EVERY_SECONDS = 5.0
_REDRAWS_PER_SECOND = 2.0
_BAR_CHARACTERS = 16


@dataclass(kw_only=True)
class JobStanding:
    """The state of the job, collected from its events and, now and then, asked for.

    ``running`` are the epochs that each running trial has had, by number. ``ends_at`` is the
    moment of ``time.monotonic`` at which the job is expected to end.
    """

    total: int
    phase: str = "queued"
    done: int = 0
    best: str = ""
    running: dict[int, int] = field(default_factory=dict)
    ends_at: float | None = None
    looked_at: float = 0.0

    @property
    def trial(self) -> str:
        """The running trials in words: the newest, its epochs, and how many others."""
        if not self.running:
            return ""
        number, epochs = next(reversed(self.running.items()))
        others = f" +{len(self.running) - 1}" if len(self.running) > 1 else ""
        return f"trial {number}{others}, epoch {epochs}"

    def left(self, now: float) -> str:
        """Return the time that is expected to be left, in words."""
        return "" if self.ends_at is None else f"{duration(self.ends_at - now)} left"


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
            count(event, standing)
            _look(event, standing, client)
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


def duration(seconds: float) -> str:
    """Return a time in the words of a person: two units at most, and never less than a second."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{round(whole / 60)} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{round(hours / 24)} days"


@contextmanager
def _view(console: Console, standing: JobStanding) -> Iterator[ProgressView]:
    if not console.is_terminal:
        yield _Lines(console)
        return
    with _Bars(console, standing) as bars:
        yield bars


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, event: EventSchema, standing: JobStanding) -> None:
        if event.type in ("trial.created", "trial.running"):
            return
        left = standing.left(time.monotonic())
        done = f"[{standing.done}/{standing.total}] {event.at:%H:%M:%S} {line(event)}"
        done += f"  ({left})" if left and event.type in _ENDED else ""
        self._console.print(escape(done), soft_wrap=True)


class _Bars(Progress):
    """One line that says how far the job is, and below it the best file so far."""

    def __init__(self, console: Console, standing: JobStanding) -> None:
        columns = [
            TextColumn("{task.fields[phase]}"),
            BarColumn(bar_width=_BAR_CHARACTERS),
            MofNCompleteColumn(),
            TextColumn("{task.fields[trial]}"),
            TextColumn("{task.fields[left]}"),
        ]
        self._standing = standing
        super().__init__(
            *columns, console=console, transient=True, refresh_per_second=_REDRAWS_PER_SECOND
        )
        self._job = self.add_task("job", total=standing.total, phase="queued", trial="", left="")

    def show(self, event: EventSchema, standing: JobStanding) -> None:
        # Re-runs are not counted in the budget.
        completed = min(standing.done, standing.total)
        self.update(self._job, completed=completed, phase=standing.phase, trial=standing.trial)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the line of the job, its time counted down, and what is best."""
        for task in self.tasks:
            task.fields["left"] = self._standing.left(time.monotonic())
        yield from super().get_renderables()
        if self._standing.best:
            yield Text(self._standing.best, overflow="ellipsis", no_wrap=True)


def count(event: EventSchema, standing: JobStanding) -> None:
    """Take the event into account."""
    data = event.data
    if event.type in _ENDED:
        standing.running.pop(data.get("number", -1), None)
        standing.done += 1
        standing.total = max(standing.total, standing.done)
    elif event.type == "trial.running":
        standing.running[data["number"]] = 0
    elif event.type == "trial.waiting":
        standing.running.pop(data.get("number", -1), None)
    elif event.type == "trial.rung" and data.get("number") in standing.running:
        standing.running[data["number"]] = data["epochs"]
    elif event.type == "job.phase":
        standing.phase = str(data.get("phase", standing.phase))
    elif event.type.startswith("job."):
        standing.phase = event.type.removeprefix("job.")


def _look(event: EventSchema, standing: JobStanding, client: Client) -> None:
    """Ask now and then for the time that is left and the best file."""
    now = time.monotonic()
    if not event.type.startswith("trial.") or now - standing.looked_at < _LOOK_EVERY_SECONDS:
        return
    standing.looked_at = now
    try:
        forecast, front = client.job(event.job).forecast, client.front(event.job)
    except ServiceUnavailable:
        return  # the view keeps what it knew; the events come again by themselves
    remaining = None if forecast is None else forecast.remaining_seconds
    standing.ends_at = None if remaining is None else now + remaining
    standing.best = _best(front) or standing.best


def _best(front: FrontSchema) -> str:
    """Return the file to take in one short line; empty while there is none."""
    taken = next((one for one in front.points if one.artifact == front.recommended), None)
    if taken is None:
        return ""
    accuracy = tables.percent(taken.measurement.score())
    ratio = tables.ratio(taken, front.baseline.measurement if front.baseline else None)
    files = f"best of {len(front.points)}"
    return f"{files}: trial {taken.number}, {accuracy}, {taken.size_bytes:,} bytes ({ratio})"


def _trial(data: dict[str, Any]) -> list[str]:
    if "number" not in data:
        return []
    rung = f" rung {data['rung']}" if data.get("rung") is not None else ""
    return [f"trial {data['number']}{rung}"]


def _numbers(data: dict[str, Any]) -> list[str]:
    quality = data.get("quality", data.get("accuracy"))
    if quality is None or data.get("size_bytes") is None:
        return []
    return [tables.percent(quality), f"{data['size_bytes']:,} bytes"]
