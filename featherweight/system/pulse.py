"""Signs of life of a looping process: a file's modification time, for a health check."""

from __future__ import annotations

import os
import time
from pathlib import Path

VARIABLE = "FEATHERWEIGHT_PULSE"
"""Environment variable with the file's path; without it nothing is written."""
_SECONDS = 1.0


class Pulse:
    """Touches its file at most once a second; an older file means a stuck or suspended process."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._next = 0.0

    @classmethod
    def named(cls) -> Pulse:
        """Return the pulse that the environment asks for, or one that writes nothing."""
        name = os.environ.get(VARIABLE)
        return cls(Path(name) if name else None)

    def beat(self) -> None:
        """Note that the loop has run once more."""
        if self._file is None or time.monotonic() < self._next:
            return
        self._file.touch()
        self._next = time.monotonic() + _SECONDS
