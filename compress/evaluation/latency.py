"""Time one call of a file, in turns with the baseline's file.

The load of a machine changes from minute to minute, and machines differ. Two files that take turns
within one run meet the same conditions, so the ratio of their times is comparable where
milliseconds are not. ``compress.values.latency.timing`` turns the times of single calls into a
latency.
Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from compress.evaluation import runtime
from compress.network.network import ShouldStop, never
from compress.network.signature import Signature
from compress.tasks.images import Images
from compress.values.errors import Stopped
from compress.values.latency import timing
from compress.values.latency.latency import Latency
from compress.values.latency.timing import Calls, Clock, Run

WARM_UP_CALLS = 5
CALLS_PER_TURN = 5
"""Timed calls of one file before the other's turn, after one that is not timed.

A first call finds caches full of the other file's weights, as no caller of one file ever does.
"""
FEWEST_CALLS = 50
MOST_CALLS = 5000
SECONDS_PER_FILE = 0.3
RUNTIME = "onnxruntime"
"""What times files: the runtime of every target that a worker has."""
PATIENCE_SECONDS = 2.0
"""So long a busy machine is given to become quiet, or to say the same twice."""
_CPU_INFO = Path("/proc/cpuinfo")
_LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The baseline's file, and the latency in milliseconds that its own trial recorded."""

    path: Path
    reference_ms: float


def measure(
    path: Path,
    images: Images,
    *,
    threads: int,
    beside: Beside | None,
    signature: Signature | None = None,
    should_stop: ShouldStop = never,
) -> Latency:
    """Time one call with the first image, ``(1, C, H, W)``, as on an unloaded machine.

    With a file ``beside`` it, both take turns until each has had at least 50 timed calls and 0.3 s.
    If the calls show that the machine is busy, they are timed again, after pauses, for at most some
    seconds. If it stays busy, all calls count and the figure is marked. Sessions have exactly
    ``threads`` threads, which stay on as many cores (Linux). Raises ExportParityError for a file
    that ONNX Runtime cannot load, and Stopped.
    """
    x_1CHW = runtime.batches(images.x_NCHW[:1])[0]
    clock = timing.best_clock()
    with _on_as_many_cores(threads):
        paths = [path] if beside is None else [path, beside.path]
        opened = [runtime.session(each, threads=threads) for each in paths]
        calls = [_call(each, runtime.feed(each, x_1CHW, signature)) for each in opened]
        run, is_busy = timing.until_quiet(
            lambda: _in_turns(calls, should_stop),
            clock=clock,
            patience_seconds=PATIENCE_SECONDS,
        )
    reference_ms = None if beside is None else beside.reference_ms
    return summarised(run, clock=clock, is_busy=is_busy, threads=threads, reference_ms=reference_ms)


def summarised(
    run: Run, *, clock: Clock, is_busy: bool, threads: int, reference_ms: float | None
) -> Latency:
    """Summarise the calls of a file, and those of the baseline's file timed in turns with them."""
    own, taken_ms = run[0], timing.taken(run, clock)
    return Latency(
        median_ms=taken_ms[0],
        p95_ms=float(np.quantile(own.by(clock), 0.95)),
        threads=threads,
        batch=1,
        baseline_ms=taken_ms[1] if len(taken_ms) > 1 else None,
        reference_ms=reference_ms,
        device=device_name(),
        runtime=RUNTIME,
        runtime_version=onnxruntime.__version__,
        clock=clock,
        estimator=timing.ESTIMATOR,
        wall_ms=float(np.median(own.wall_ms)),
        busy=is_busy,
        within=timing.factor(run, clock, threads=threads) if is_busy else 1.0,
    )


@cache
def device_name() -> str:
    """Return the model of this machine's CPU, the only device on which ``runtime`` runs files."""
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (models[0] if models else platform.processor() or platform.machine())[:_LONGEST_NAME]


def _in_turns(calls: list[Callable[[], object]], should_stop: ShouldStop) -> list[Calls]:
    """Return every timed call of each file."""
    blocks = [_block(call) for call in calls]
    turns: list[list[Calls]] = [[] for _ in calls]
    ends = time.perf_counter() + SECONDS_PER_FILE * len(calls)
    while _has_to_go_on(CALLS_PER_TURN * len(turns[0]), ends):
        if should_stop():
            raise Stopped("stopped while latency was measured")
        for call, block, own in zip(calls, blocks, turns, strict=True):
            call()
            own.append(timing.timed(call, calls=CALLS_PER_TURN, block=block))
    return [timing.joined(own) for own in turns]


def _has_to_go_on(calls: int, ends: float) -> bool:
    return calls < FEWEST_CALLS or (calls < MOST_CALLS and time.perf_counter() < ends)


def _call(
    session: onnxruntime.InferenceSession, feed: dict[str, NDArray[Any]]
) -> Callable[[], object]:
    return lambda: session.run(None, feed)


def _block(call: Callable[[], object]) -> int:
    """Warm the file up, and return how many of its calls are timed as one."""
    warm_up = timing.timed(call, calls=WARM_UP_CALLS, block=1)
    return timing.calls_per_block(int(min(warm_up.wall_ms) * 1e6))


@contextmanager
def _on_as_many_cores(threads: int) -> Iterator[None]:
    """Pin this thread, and those that it starts, to ``threads`` cores, chosen by the process id."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    cores = sorted(allowed)
    first = os.getpid() % len(cores)
    os.sched_setaffinity(0, {cores[(first + i) % len(cores)] for i in range(threads)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
