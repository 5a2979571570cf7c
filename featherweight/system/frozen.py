"""Find processes that are stopped: by SIGSTOP, a terminal, or somebody's debugger that left them.

Known only where there is ``/proc``; elsewhere no process is ever found to be stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_PROCESSES = Path("/proc")
_STOPPED = "T"
_STATE, _PARENT = 0, 1
"""Places of two fields of ``stat`` after the name, which stands in brackets: proc(5)."""


def is_stopped(process: int) -> bool:
    """Return whether the process or one that descends from it is stopped."""
    found = {number: (state, parent) for number, state, parent in _every()}
    below = {process}
    while more := {pid for pid, (_, parent) in found.items() if parent in below} - below:
        below |= more
    return any(found[pid][0] == _STOPPED for pid in below if pid in found)


def _every() -> Iterator[tuple[int, str, int]]:
    """Yield number, state and parent of every process."""
    for file in _PROCESSES.glob("[0-9]*/stat"):
        try:
            fields = file.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if len(fields) > _PARENT:
            yield int(file.parent.name), fields[_STATE], int(fields[_PARENT])
