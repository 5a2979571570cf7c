"""What supervisor and child say to each other through their pipe: JSON, one message at a time."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

from featherweight.specs.protocol import Assignment


class Run(BaseModel, frozen=True):
    """To the child: work on this trial."""

    kind: Literal["run"] = "run"
    assignment: Assignment


class Stop(BaseModel, frozen=True):
    """To the child: drop this attempt. ``is_ours`` says whether there is anyone to tell."""

    kind: Literal["stop"] = "stop"
    attempt: str
    reason: str
    is_ours: bool


class Ready(BaseModel, frozen=True):
    """From the child: torch is loaded."""

    kind: Literal["ready"] = "ready"
    device: str
    threads: int


class TrialProgress(BaseModel, frozen=True):
    """From the child: what it is doing, and the share of that which is done."""

    kind: Literal["progress"] = "progress"
    stage: str
    done: float


class Ended(BaseModel, frozen=True):
    """From the child: it is through with this attempt; ``trouble`` is that of our own disk."""

    kind: Literal["ended"] = "ended"
    attempt: str
    trouble: str | None = None


Message = Annotated[Run | Stop | Ready | TrialProgress | Ended, Field(discriminator="kind")]
_READER: TypeAdapter[Message] = TypeAdapter(Message)


def send(pipe: Connection, message: Message) -> None:
    """Send one message. Raises OSError when nobody is at the other end."""
    pipe.send_bytes(message.model_dump_json().encode())


def receive(pipe: Connection) -> Message:
    """Wait for one message. Raises EOFError or OSError when nobody is at the other end."""
    return _READER.validate_json(pipe.recv_bytes())
