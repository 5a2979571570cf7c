"""Measure what loading a file costs, in a fresh process that imports ONNX Runtime and no torch.

    python -m compress.evaluation.peak_memory FILE THREADS [SHAPE of each input, as in 1x3x32x32]

The kernel's high-water mark of resident memory is per process and includes what the process held
before: a worker that has trained has a high one already.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnxruntime

from compress.evaluation.port_types import PORT_TYPES
from compress.values.errors import Stopped
from compress.values.latency import timing

NOT_MEASURED = "peak memory was not measured: this system has no /proc/self/status with VmHWM"
Shapes: TypeAlias = Sequence[tuple[int, ...]]
"""One for each input of a file, in their order."""
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_FORGET_HIGH_WATER = "5"
_TIMED_LOADS = 3
_MOST_SECONDS = 120.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Loading:
    """The cost of loading a file: memory in bytes (None except on Linux) and time in milliseconds.

    The time is CPU time of the loading thread, so that it is the same on a busy machine; it is wall
    time if the CPU's clock is too coarse.
    """

    peak_memory_bytes: int | None
    load_ms: float


def of_file(
    path: Path,
    *,
    threads: int = 1,
    shapes: Shapes = (),
    should_stop: Callable[[], bool] = lambda: False,
    most_seconds: float = _MOST_SECONDS,
) -> Loading:
    """Load the file and run one example of zeros, in a process of its own.

    ``shapes`` are those of its inputs for one example; without them, axes of any size have size 1.
    Raises ChildProcessError if that process fails or is killed, TimeoutError if it takes longer
    than ``most_seconds``, and Stopped.
    """
    command = [
        sys.executable,
        "-m",
        "compress.evaluation.peak_memory",
        str(path.resolve()),
        str(threads),
        *("x".join(map(str, shape)) for shape in shapes),
    ]
    ends = time.monotonic() + most_seconds
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said, complaint = _said(process, ends, should_stop)
        finally:
            process.kill()
    if process.returncode != 0:
        reason = (complaint.strip().splitlines() or ["it said nothing"])[-1]
        raise ChildProcessError(
            f"measuring the memory of {path.name} ended with status {process.returncode}: {reason}"
        )
    return Loading(**json.loads(said))


def _said(
    process: subprocess.Popen[str], ends: float, should_stop: Callable[[], bool]
) -> tuple[str, str]:
    while True:
        try:
            return process.communicate(timeout=_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if should_stop():
                raise Stopped("stopped while memory was measured") from None
            if time.monotonic() >= ends:
                raise TimeoutError("measuring memory takes too long") from None


def measure_here(
    path: Path, *, threads: int, shapes: Shapes = (), status: Path = _STATUS
) -> Loading:
    """Measure in this process, where nothing else may run; ``status`` is the kernel's file."""
    growth = added(lambda: _run_zeros(_session(path, threads), shapes), status=status)
    loads = timing.timed(lambda: _session(path, threads), calls=_TIMED_LOADS, block=1)
    return Loading(peak_memory_bytes=growth, load_ms=min(loads.by(timing.best_clock())))


def added(run: Callable[[], object], *, status: Path = _STATUS) -> int | None:
    """Return the most bytes of resident memory that ``run`` adds to this process.

    None except on Linux.
    """
    with contextlib.suppress(OSError):  # without it an earlier peak counts: never too little
        _CLEAR_REFS.write_text(_FORGET_HIGH_WATER)
    before = _bytes(status, "VmRSS")
    run()
    peak = _bytes(status, "VmHWM")
    return None if before is None or peak is None else peak - before


def _bytes(status: Path, name: str) -> int | None:
    if not status.exists():
        return None
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields[name].split()[0]) * 1024 if name in fields else None


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run_zeros(opened: onnxruntime.InferenceSession, shapes: Shapes) -> None:
    ports = opened.get_inputs()
    said = shapes or [[size if isinstance(size, int) else 1 for size in p.shape] for p in ports]
    given = {
        port.name: np.zeros(shape, PORT_TYPES[port.type])
        for port, shape in zip(ports, said, strict=True)
    }
    opened.run(None, given)


def main() -> None:
    """Measure the file named on the command line, and write the result as JSON."""
    path, threads, *said = sys.argv[1:]
    shapes = [tuple(map(int, shape.split("x"))) for shape in said]
    found = measure_here(Path(path), threads=int(threads), shapes=shapes)
    sys.stdout.write(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
