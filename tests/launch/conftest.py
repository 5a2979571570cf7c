"""A real service to talk to, and the command line in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from launch import main
from tests.running import Running


@dataclass(frozen=True)
class Done:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(house: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command against the house."""
    for name, value in house.settings.items():
        monkeypatch.setenv(name, value)

    def command(*arguments: str, **environment: str) -> Done:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["featherweight", *arguments])
        status: object = 0
        try:
            main.main()
        except SystemExit as exit_:
            status = exit_.code or 0
        assert isinstance(status, int)
        printed = capsys.readouterr()
        return Done(status, printed.out, printed.err)

    return command
