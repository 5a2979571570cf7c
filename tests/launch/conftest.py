"""A real service to talk to, and the command line in this process."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from launch import main
from tests.running import Running, running


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


@pytest.fixture(scope="module")
def house(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("house")
    shutil.copy(sqlite_template, folder / "featherweight.db")
    with running(folder) as found:
        found.serve()
        yield found


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
