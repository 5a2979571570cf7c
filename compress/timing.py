"""What timed calls tell of a file's latency on a machine that does nothing else.

The wall's clock counts the time that other processes take, too: on a busy machine a call of a few
milliseconds is interrupted more often than not, and the median of such calls is wrong several
times over. The CPU time of the calling thread stands still while the thread waits, and with one
thread ONNX Runtime computes in the thread that calls it. What is left is that a call after an
interruption finds its caches cold, so a low quantile is taken. With several threads the CPU time is
work and no latency: there the low quantile is that of the wall's clock, and is trusted less.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np

from compress.measurement import Clock

QUANTILE = 0.1
"""One call in ten takes at most what is told as the latency."""
BUSY_LOAD = 1.3
"""Calls that waited for more than 0.3 of the time that they computed, met a busy machine."""
LEAST_FACTOR = 1.15
"""What a quantile of CPU times is trusted to within on a busy machine (``busy_latency``)."""
_STEPS = 5
_BLOCK_STEPS = 100
_LONGEST_BLOCK_NS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Milliseconds of timed calls of one file, by two clocks, in the order of the calls."""

    wall_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...]

    def by(self, clock: Clock) -> tuple[float, ...]:
        """What one of the clocks says."""
        return self.cpu_ms if clock == "cpu" else self.wall_ms


Run = Sequence[Calls]
"""The calls of a file and, where there is one, of the file that took turns with it."""


def joined(parts: Iterable[Calls]) -> Calls:
    """The calls of one file that were timed in several goes, in their order."""
    every = list(parts)
    return Calls(
        wall_ms=tuple(chain.from_iterable(part.wall_ms for part in every)),
        cpu_ms=tuple(chain.from_iterable(part.cpu_ms for part in every)),
    )


def low(times_ms: Sequence[float]) -> float:
    """The 10 % quantile."""
    return float(np.quantile(times_ms, QUANTILE))


def load(run: Run) -> float:
    """Wall time over the calling thread's CPU time, all calls: 1 where nothing interrupts them."""
    wall_ms = sum(sum(calls.wall_ms) for calls in run)
    cpu_ms = sum(sum(calls.cpu_ms) for calls in run)
    return wall_ms / cpu_ms if cpu_ms > 0 else 1.0


def drift(run: Run, clock: Clock) -> float:
    """How far the two halves of the run are apart in what they tell, as a factor of at least 1.

    With a file beside it that is the ratio of the two, without one the latency itself.
    """
    first, second = (_told(run, clock, half=half) for half in (0, 1))
    return max(first / second, second / first)


def is_busy(run: Run, clock: Clock) -> bool:
    """Whether the calls show that the machine did something else, too."""
    return load(run) > BUSY_LOAD or factor(run, clock) > LEAST_FACTOR


def factor(run: Run, clock: Clock) -> float:
    """What the run is right within, at least 1: its drift; by the wall's clock all that shows.

    A thread that waits makes even the quickest call by the wall's clock a slow one, so how long the
    calls waited on the whole counts there, and how far a usual call is from a quick one.
    """
    if clock == "cpu":
        return drift(run, clock)
    spreads = [float(np.median(calls.wall_ms)) / low(calls.wall_ms) for calls in run]
    return max(drift(run, clock), load(run), *spreads)


def until_quiet(
    one_run: Callable[[], Run],
    *,
    clock: Clock,
    patience_seconds: Callable[[Run], float],
    wait: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> tuple[Run, bool]:
    """Time again, after ever longer pauses, until a run meets a quiet machine or time is up.

    Returns:
        The quiet run alone, or the calls of all runs together; and whether it is the latter.
    """
    began = now()
    run, pause = one_run(), 0.25
    took = now() - began
    if not is_busy(run, clock):
        return run, False
    while now() + pause + took <= began + took + patience_seconds(run):
        wait(pause)
        again = one_run()
        if not is_busy(again, clock):
            return again, False
        run = [joined(both) for both in zip(run, again, strict=True)]
        pause *= 2
    return run, True


def best_clock(threads: int) -> Clock:
    """The clock that tells the latency of a session with so many threads on this machine."""
    return "cpu" if threads == 1 and _step_ns() * _BLOCK_STEPS <= _LONGEST_BLOCK_NS else "wall"


def calls_per_block(call_ns: int) -> int:
    """How many calls of this length are timed as one, so that the clock's step does not matter."""
    if best_clock(threads=1) != "cpu":
        return 1
    return max(1, -(-_step_ns() * _BLOCK_STEPS // max(1, call_ns)))


def timed(call: Callable[[], object], *, calls: int, block: int) -> Calls:
    """Time so many blocks of calls; each counts as its mean."""
    wall_ms, cpu_ms = [], []
    for _ in range(calls):
        wall_ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
        for _ in range(block):
            call()
        cpu_ms.append((time.thread_time_ns() - cpu_ns) / block / 1e6)
        wall_ms.append((time.perf_counter_ns() - wall_ns) / block / 1e6)
    return Calls(wall_ms=tuple(wall_ms), cpu_ms=tuple(cpu_ms))


@cache
def _step_ns() -> int:
    """By how much the thread's CPU clock advances at least, reading it included."""
    return min(_next_step_ns() for _ in range(_STEPS))


def _next_step_ns() -> int:
    began = time.thread_time_ns()
    while (now := time.thread_time_ns()) == began:
        pass
    return now - began


def _told(run: Run, clock: Clock, *, half: int) -> float:
    told = [low(_half(calls.by(clock), half)) for calls in run]
    return told[0] / told[1] if len(told) > 1 else told[0]


def _half(times_ms: Sequence[float], half: int) -> Sequence[float]:
    middle = len(times_ms) // 2
    return times_ms[middle:] if half else times_ms[:middle]
