"""Derive a file's latency on an otherwise idle machine from timed calls.

Wall time includes the time that other processes take: on a busy machine a call of a few
milliseconds is interrupted more often than not, and the median of such calls is wrong several
times over. The CPU time of the calling thread stands still while the thread is kept waiting, and
ONNX Runtime computes in the thread that calls it, which spins while it waits for helpers. All
remaining disturbances only add to it: caches that are cold after an interruption, a core that is
shared with a neighbour, helpers that do not come to run. So a low quantile of the CPU times of the
calls is taken, over as long as it takes until it repeats.

One thing subtracts from it. If a hypervisor gives a core to another guest, Linux learns of it late
and holds the thread's clock back afterwards: for some calls it stands still while the thread
computes. Such a call says nothing, and its time is left out.

The quantile is that of 10 %: the least is one call, of which little is known. How far it is off
beside busy loops is measured by ``benchmarks.engine.busy_latency``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Literal

import numpy as np

Clock = Literal["cpu", "wall"]
Estimator = Literal["median", "least", "quantile_10"]
"""What is taken of the calls' times: of engines to revision 1, to revision 4, and of this one."""
ESTIMATOR: Estimator = "quantile_10"
QUANTILE = 0.1
"""Of the times of calls, in the order of their length."""
BUSY_LOAD = 1.3
"""Calls that waited for more than 0.3 of the time that they computed, met a busy machine."""
LEAST_FACTOR = 1.15
"""What times on a busy machine are trusted to within (``benchmarks.engine.busy_latency``)."""
_REPEATED = 1.05
"""Two runs whose times are within this factor say the same."""
_HELD_BACK = 0.7
"""Where a call took less than this share of what a quick one takes, its clock was held back."""
_QUICK = 0.25
_FIRST_PAUSE_SECONDS = 0.1
_STEPS = 5
_BLOCK_STEPS = 100
_LONGEST_BLOCK_NS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Milliseconds of timed calls of one file, by two clocks, in the order of the calls."""

    wall_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...]

    def by(self, clock: Clock) -> tuple[float, ...]:
        """Return the times by one clock; by the wall's if the CPU's clock never advanced."""
        return self.cpu_ms if clock == "cpu" and any(self.cpu_ms) else self.wall_ms


Run = Sequence[Calls]
"""The calls of a file and, where there is one, of the file that took turns with it."""


def joined(parts: Iterable[Calls]) -> Calls:
    """Join the calls of one file that were timed in several runs, in their order."""
    every = list(parts)
    return Calls(
        wall_ms=tuple(chain.from_iterable(part.wall_ms for part in every)),
        cpu_ms=tuple(chain.from_iterable(part.cpu_ms for part in every)),
    )


def taken(run: Run, clock: Clock) -> list[float]:
    """Return the 10 % quantile of each file's calls in ms, of those whose clock advanced."""
    return [_taken(calls.by(clock)) for calls in run]


def load(run: Run) -> float:
    """Return wall time over the calling thread's CPU time, all calls: 1 without interruptions."""
    wall_ms = sum(sum(calls.wall_ms) for calls in run)
    cpu_ms = sum(sum(calls.cpu_ms) for calls in run)
    return wall_ms / cpu_ms if cpu_ms > 0 else 1.0


def apart(one: Run, other: Run, clock: Clock) -> float:
    """Return how far apart two runs measure a file, as a factor of at least 1."""
    both = zip(taken(one, clock), taken(other, clock), strict=True)
    return max(max(a / b, b / a) for a, b in both)


def is_busy(run: Run, clock: Clock) -> bool:
    """Whether the calls show that the machine did something else, too.

    They waited, or one half of them was slower throughout, because of a neighbour that causes no
    wait.
    """
    return load(run) > BUSY_LOAD or apart(*_halves(run), clock) > LEAST_FACTOR


def factor(run: Run, clock: Clock, *, threads: int) -> float:
    """Return the factor within which a busy machine's run is right, at least 1.15.

    It is how far apart its halves are; of two files, in their ratio. If helpers do not come to run,
    the calling thread does their work, too: several threads may speed one file up by their number
    and another not at all, so with threads it is at least that number. By the wall's clock even the
    shortest call may have waited, so there it is at least how long the calls waited on the whole.
    """
    first, second = (_told(half, clock) for half in _halves(run))
    found = max(LEAST_FACTOR, threads, first / second, second / first)
    return found if clock == "cpu" else max(found, load(run))


def until_quiet(
    one_run: Callable[[], Run],
    *,
    clock: Clock,
    patience_seconds: float,
    wait: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> tuple[Run, bool]:
    """Time again, after ever longer pauses, until the machine is quiet or the answer repeats.

    Gives up before a further run would end later than ``patience_seconds`` after the first.

    Returns:
        The quiet run alone, or the calls of all runs together; and whether it is the latter.
    """
    began = now()
    run, pause = one_run(), _FIRST_PAUSE_SECONDS
    first_ended = now()
    longest = first_ended - began
    if not is_busy(run, clock):
        return run, False
    while now() + pause + longest <= first_ended + patience_seconds:
        wait(pause)
        began = now()
        again = one_run()
        longest = max(longest, now() - began)
        if not is_busy(again, clock):
            return again, False
        says_the_same = apart(run, again, clock) <= _REPEATED
        run = [joined(both) for both in zip(run, again, strict=True)]
        if says_the_same:
            break
        pause *= 2
    return run, True


@cache
def best_clock() -> Clock:
    """Return the CPU's clock, or the wall's if the CPU's is too coarse for a single call."""
    return "cpu" if _step_ns() * _BLOCK_STEPS <= _LONGEST_BLOCK_NS else "wall"


def calls_per_block(call_ns: int) -> int:
    """Return how many calls of this length are timed as one, despite the clock's resolution."""
    if best_clock() == "wall":
        return 1
    return max(1, -(-_step_ns() * _BLOCK_STEPS // max(1, call_ns)))


def timed(
    call: Callable[[], object],
    *,
    calls: int,
    block: int,
    cpu_ns: Callable[[], int] = time.thread_time_ns,
) -> Calls:
    """Time so many blocks of calls; each counts as its mean. ``cpu_ns`` reads the CPU's clock."""
    wall_ms, cpu_ms = [], []
    for _ in range(calls):
        wall, cpu = time.perf_counter_ns(), cpu_ns()
        for _ in range(block):
            call()
        cpu_ms.append((cpu_ns() - cpu) / block / 1e6)
        wall_ms.append((time.perf_counter_ns() - wall) / block / 1e6)
    return Calls(wall_ms=tuple(wall_ms), cpu_ms=tuple(cpu_ms))


@cache
def _step_ns() -> int:
    """Return the least advance of the thread's CPU clock, reading it included."""
    return min(_next_step_ns() for _ in range(_STEPS))


def _next_step_ns() -> int:
    began = time.thread_time_ns()
    while (now := time.thread_time_ns()) == began:
        pass
    return now - began


def _taken(times_ms: Sequence[float]) -> float:
    quick = float(np.quantile([each for each in times_ms if each > 0], _QUICK))
    return float(np.quantile([each for each in times_ms if each >= _HELD_BACK * quick], QUANTILE))


def _told(run: Run, clock: Clock) -> float:
    """Return the ratio of the two files, or the time of one that was timed alone."""
    told = taken(run, clock)
    return told[0] / told[1] if len(told) > 1 else told[0]


def _halves(run: Run) -> tuple[Run, Run]:
    middles = [len(calls.cpu_ms) // 2 for calls in run]
    both = list(zip(run, middles, strict=True))
    return [_part(c, slice(m)) for c, m in both], [_part(c, slice(m, None)) for c, m in both]


def _part(calls: Calls, of: slice) -> Calls:
    return Calls(wall_ms=calls.wall_ms[of], cpu_ms=calls.cpu_ms[of])
