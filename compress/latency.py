"""How long one call of a file takes, timed in turns with the baseline's file.

What else a machine does changes from minute to minute, and machines differ. Two files that take
turns within one run meet the same moments, so the ratio of their medians can be compared where
milliseconds cannot. Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from compress import runtime
from compress.measurement import Latency
from compress.model import Images

WARM_UP_CALLS = 5
CALLS_PER_TURN = 5
"""Timed calls of one file before the other's turn, after one that is not timed.

A first call finds caches full of the other file's weights, as no caller of one file ever does.
"""
FEWEST_CALLS = 50
MOST_CALLS = 5000
SECONDS_PER_FILE = 0.3
_CPU_INFO = Path("/proc/cpuinfo")
_LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The baseline's file, and the median in milliseconds that its own trial recorded."""

    path: Path
    reference_ms: float


def measure(path: Path, images: Images, *, threads: int, beside: Beside | None) -> Latency:
    """Median and 95th percentile of one call with the first image, ``(1, C, H, W)``.

    With a file ``beside`` it both take turns until each has had at least 50 calls and 0.3 s.
    Sessions have exactly ``threads`` threads, which stay on as many cores (Linux). Raises
    ExportParityError for a file that ONNX Runtime cannot load.
    """
    feed = runtime.batches(images.x_NCHW[:1])[0]
    with _on_as_many_cores(threads):
        opened = [runtime.session(path, threads=threads)]
        if beside is not None:
            opened.append(runtime.session(beside.path, threads=threads))
        own, *others = _in_turns(opened, feed)
    median_ms, p95_ms = np.percentile(own, [50, 95])
    return Latency(
        median_ms=float(median_ms),
        p95_ms=float(p95_ms),
        threads=threads,
        batch=1,
        baseline_ms=float(np.median(others[0])) if others else None,
        reference_ms=None if beside is None else beside.reference_ms,
        device=device_name(),
    )


@cache
def device_name() -> str:
    """The model of this machine's CPU: the one thing that ``runtime`` runs files on."""
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (models[0] if models else platform.processor() or platform.machine())[:_LONGEST_NAME]


def _in_turns(
    opened: list[onnxruntime.InferenceSession], feed: NDArray[np.float32]
) -> list[list[float]]:
    """Milliseconds of every timed call of each session."""
    for session in opened:
        _timed(session, feed, calls=WARM_UP_CALLS)
    found: list[list[float]] = [[] for _ in opened]
    ends = time.perf_counter() + SECONDS_PER_FILE * len(opened)
    while len(found[0]) < FEWEST_CALLS or (
        len(found[0]) < MOST_CALLS and time.perf_counter() < ends
    ):
        for session, calls_ms in zip(opened, found, strict=True):
            calls_ms += _timed(session, feed, calls=1 + CALLS_PER_TURN)[1:]
    return found


def _timed(
    session: onnxruntime.InferenceSession, feed: NDArray[np.float32], *, calls: int
) -> list[float]:
    calls_ms: list[float] = []
    for _ in range(calls):
        started = time.perf_counter_ns()
        session.run([runtime.OUTPUT], {runtime.INPUT: feed})
        calls_ms.append((time.perf_counter_ns() - started) / 1e6)
    return calls_ms


@contextmanager
def _on_as_many_cores(threads: int) -> Iterator[None]:
    """Keep this thread, and those that it starts, on ``threads`` cores; other processes' differ."""
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
