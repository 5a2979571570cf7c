"""Messages between supervisor and trainer through their pipe: JSON, one at a time."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

from featherweight.specs.protocol import Assignment


class Run(BaseModel, frozen=True):
    """Tells the trainer to work on this trial."""

    kind: Literal["run"] = "run"
    assignment: Assignment


class Stop(BaseModel, frozen=True):
    """Tells the trainer to drop this attempt; ``is_ours`` says whether to report it."""

    kind: Literal["stop"] = "stop"
    attempt: str
    reason: str
    is_ours: bool


class Ready(BaseModel, frozen=True):
    """Tells the supervisor that torch is loaded."""

    kind: Literal["ready"] = "ready"
    device: str
    threads: int


class TrialProgress(BaseModel, frozen=True):
    """Tells the supervisor the current stage, and the share of it that is done."""

    kind: Literal["progress"] = "progress"
    stage: str
    done: float


class Ended(BaseModel, frozen=True):
    """Tells the supervisor that the attempt is over; ``trouble`` is a problem of our own disk."""

    kind: Literal["ended"] = "ended"
    attempt: str
    trouble: str | None = None


Message = Annotated[Run | Stop | Ready | TrialProgress | Ended, Field(discriminator="kind")]
_READER: TypeAdapter[Message] = TypeAdapter(Message)


def send(pipe: Connection, message: Message) -> None:
    """Send one message. Raises OSError if nobody is at the other end."""
    pipe.send_bytes(message.model_dump_json().encode())


def receive(pipe: Connection) -> Message:
    """Wait for one message. Raises EOFError or OSError if nobody is at the other end."""
    return _READER.validate_json(pipe.recv_bytes())
