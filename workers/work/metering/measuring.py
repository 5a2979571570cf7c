"""Measure a file in every runtime of this device, each in a process of its own.

A runtime that crashes, or never ends, costs that process alone, and is an answer like a refusal.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.evaluation.metering import RUNTIMES
from compress.values.errors import Stopped
from featherweight.specs.cluster import MeterResult, RuntimeFigures, RuntimeVersion
from featherweight.system import lifeline
from workers.work.metering import machine

MOST_SECONDS = 600.0
_VERSION_SECONDS = 120.0
_LOOK_SECONDS = 0.2
_MOST_WORDS = 1000
_CHILD = (sys.executable, "-m", "workers.work.metering.child")


def installed() -> tuple[RuntimeVersion, ...]:
    """Return the runtimes that can be loaded here, each asked in a process of its own."""
    found: list[RuntimeVersion] = []
    for name in RUNTIMES:
        done = subprocess.run(
            [*_CHILD, name],
            env=_environment(threads=1),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_VERSION_SECONDS,
            check=False,
        )
        if done.returncode == 0:
            version = machine.line(json.loads(done.stdout)["version"], most=50)
            found.append(RuntimeVersion(name=name, version=version))
    return tuple(found)


def measure(
    path: Path,
    runtimes: Sequence[RuntimeVersion],
    *,
    threads: int,
    is_wanted: Callable[[], bool],
    example: tuple[int, ...] = (),
    most_seconds: float = MOST_SECONDS,
) -> MeterResult:
    """Measure the file in each runtime, one after the other. Raises Stopped once unwanted.

    ``example`` are the sizes of one example, for a file that leaves them open.
    """
    asked = [str(path.resolve()), str(threads), *map(str, example)]
    environment = _environment(threads=threads)
    figures = [
        _figures_of(path, runtime, ended)
        for runtime in runtimes
        for ended in [_run([*_CHILD, runtime.name, *asked], environment, is_wanted, most_seconds)]
    ]
    return MeterResult(figures=tuple(figures))


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """How a process ended and what it wrote; ``status`` is None if it was out of time."""

    status: int | None
    answer: str = ""
    complaint: str = ""
    seconds: float


def _run(
    command: Sequence[str],
    environment: Mapping[str, str],
    is_wanted: Callable[[], bool],
    most_seconds: float,
) -> _Ended:
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is for the meter, which gives its file back
    ) as process:
        try:
            told = _told(process, time.monotonic() + most_seconds, is_wanted)
        finally:
            process.kill()
    if told is None:
        return _Ended(status=None, seconds=most_seconds)
    answer, complaint = told
    return _Ended(
        status=process.returncode, answer=answer, complaint=complaint, seconds=most_seconds
    )


def _figures_of(path: Path, runtime: RuntimeVersion, ended: _Ended) -> RuntimeFigures:
    if ended.status is None:
        return _refusal(runtime, f"it took longer than {ended.seconds:g} s")
    if ended.status != 0:
        return _refusal(runtime, _end(ended.status, ended.complaint))
    # Where it lies here is nobody's business.
    own = json.dumps(str(path.resolve()))[1:-1]
    return _figures(json.loads(ended.answer.replace(own, "the file")))


def _told(
    process: subprocess.Popen[str], ends: float, is_wanted: Callable[[], bool]
) -> tuple[str, str] | None:
    """Return what it wrote to stdout and stderr; None if it is out of time. Raises Stopped."""
    while time.monotonic() < ends:
        try:
            return process.communicate(timeout=_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if not is_wanted():
                raise Stopped("stopped while a file was measured") from None
    return None


def _figures(told: dict[str, Any]) -> RuntimeFigures:
    if "refusal" in told:
        runtime = RuntimeVersion.model_validate(told["runtime"])
        return _refusal(runtime, told["refusal"])
    return RuntimeFigures.model_validate(told)


def _refusal(runtime: RuntimeVersion, words: str) -> RuntimeFigures:
    said = machine.line(words, most=_MOST_WORDS) or "it said nothing"
    return RuntimeFigures(runtime=runtime, refusal=said)


def _end(status: int, complaint: str) -> str:
    if status < 0:
        return f"the process that loaded it was ended by {signal.Signals(-status).name}"
    lines = complaint.strip().splitlines()
    return f"the process that loaded it ended with status {status}: {(lines or ['no word'])[-1]}"


def _environment(*, threads: int) -> dict[str, str]:
    """Nothing of our settings: a file's process needs no token."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FEATHERWEIGHT_")}
    return kept | {"OMP_NUM_THREADS": str(threads), lifeline.PARENT: str(os.getpid())}
