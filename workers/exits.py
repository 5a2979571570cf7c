"""Explain why the trainer process died: its exit status and the count of the kernel. No torch."""

from __future__ import annotations

import signal
from pathlib import Path

from featherweight.specs.protocol import Failure
from featherweight.specs.states import FailureClass

_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGBUS})


def oom_kills() -> int:
    """Return how many processes the kernel has killed for memory so far, if it can be seen here."""
    for counters in _COUNTERS:
        try:
            lines = counters.read_text().splitlines()
        except OSError:
            continue
        found = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
        if found:
            return found[0]
    return 0


def failure(status: int, *, oom_kills_before: int) -> Failure:
    """Return the failure of an attempt whose process ended with ``status`` (negative: a signal)."""
    if status == -signal.SIGKILL and oom_kills() > oom_kills_before:
        words = "the kernel killed the process for memory"
        return Failure(failure_class=FailureClass.OUT_OF_MEMORY, message=words)
    if status < 0 and -status in _CRASHES:
        words = f"the process crashed: {signal.Signals(-status).name}"
        return Failure(failure_class=FailureClass.BUG, message=words)
    words = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return Failure(
        failure_class=FailureClass.INFRASTRUCTURE, message=f"the process was ended: {words}"
    )
