"""A module run in a child process of bounded memory, time and output, on a stranger's bytes.

    python -m featherweight.system.bounded MEMORY SECONDS BYTES PARENT MODULE [ARGUMENT...]

The child bounds itself before it loads the module, reads the file from stdin, and writes its answer
to stdout. It has none of this process's settings, and ends with it.
"""

from __future__ import annotations

import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from featherweight.system import lifeline

_LOOK_SECONDS = 0.05
_KEPT_ERRORS = 4000
_PASSED_ON = frozenset({"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV"})
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX"), "1"
)
"""Every thread takes address space, which is what is bounded."""
_NICENESS = 5
_LAST_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class ProcessBounds:
    """What a child may take: bytes of address space, seconds (wall and CPU), bytes of answer.

    ``output_bytes`` are those of a file that it writes besides its answer, if it does.
    """

    memory_bytes: int
    seconds: float
    answer_bytes: int
    output_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class EndedProcess:
    """How a child ended. ``status`` is below 0 for a signal, None if it was out of time.

    ``error`` is the end of what it wrote to stderr, ``is_cut`` says that the answer was too long.
    """

    status: int | None
    answer: bytes
    error: str
    is_cut: bool = False

    @property
    def words(self) -> str:
        """How it ended, for people; empty if as it should."""
        if self.status == 0:
            return "its answer was too long" if self.is_cut else ""
        if self.status is None or self.status == -signal.SIGXCPU:
            return "it took too long"
        if self.status < 0:
            return f"it was ended by {signal.Signals(-self.status).name}"
        lines = self.error.strip().splitlines()
        return lines[-1] if lines else f"it ended with status {self.status}"


class GivenUp(Exception):
    """Whoever waited for the child wants its answer no more; the child is gone."""


def run(
    command: Sequence[str],
    file: Path,
    bounds: ProcessBounds,
    *,
    is_wanted: Callable[[], bool],
    outputs: Sequence[IO[bytes]] = (),
) -> EndedProcess:
    """Run ``command``, a module and its arguments, on the content of ``file``; wait for its end.

    The module may write to ``outputs``, each of up to ``bounds.output_bytes``: their descriptors
    are its last arguments. Call it from a thread that outlives it: the kernel ends a child together
    with the thread that started it. ``is_wanted`` is asked all the time. Raises GivenUp once it
    says no, and OSError if the file cannot be opened.
    """
    passed = tuple(output.fileno() for output in outputs)
    with file.open("rb") as given, tempfile.TemporaryFile() as answer:
        with tempfile.TemporaryFile() as errors:
            child = subprocess.Popen(
                _command([*command, *map(str, passed)], bounds),
                pass_fds=passed,
                stdin=given,
                stdout=answer,
                stderr=errors,
                env=_environment(os.environ),
                start_new_session=True,
            )
            try:
                status = _waited(child, bounds.seconds, is_wanted)
            finally:
                child.kill()
                child.wait()
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - _KEPT_ERRORS))
            said = errors.read().decode("utf-8", "replace")
        is_cut = answer.seek(0, os.SEEK_END) >= bounds.answer_bytes
        answer.seek(0)
        kept = answer.read(bounds.answer_bytes)
        return EndedProcess(status=status, answer=kept, error=said, is_cut=is_cut)


def _waited(
    child: subprocess.Popen[bytes], seconds: float, is_wanted: Callable[[], bool]
) -> int | None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            return child.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if not is_wanted():
                raise GivenUp from None
    return None


def _command(command: Sequence[str], bounds: ProcessBounds) -> list[str]:
    seconds = max(1, round(bounds.seconds))
    written = max(bounds.answer_bytes, bounds.output_bytes)
    given = (bounds.memory_bytes, seconds, written, os.getpid())
    return [sys.executable, "-m", __name__, *map(str, given), *command]


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Nothing secret: only what Python needs to start."""
    kept = {k: v for k, v in ours.items() if k in _PASSED_ON or k.startswith(("LC_", "PYTHON"))}
    return kept | _ONE_THREAD


def _bound(memory_bytes: int, seconds: int, written_bytes: int) -> None:
    """Bound this process, for good."""
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # At the hard limit it would be SIGKILL, which says nothing.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + _LAST_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (written_bytes, written_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Bound this process as its arguments say, and become the module."""
    memory_bytes, seconds, written_bytes, parent, module, *arguments = sys.argv[1:]
    lifeline.die_with(int(parent))
    _bound(int(memory_bytes), int(seconds), int(written_bytes))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
