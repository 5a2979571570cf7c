"""What a file costs in a runtime on this device, measured in a process of its own. No torch.

Only the file is needed, and for one that leaves sizes open those of an example. Its calls have one
random input of the shapes and types that it asks for. What it answers is not looked at. Nothing is
pinned to a core: where cores differ, the quantile is that of the fastest that calls ran on.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from compress.evaluation.port_types import PORT_TYPES
from compress.values.latency import timing
from compress.values.latency.timing import Calls, Clock

FEWEST_CALLS = 50
MOST_CALLS = 2000
LEAST_SECONDS = 1.0
MOST_SECONDS = 60.0
"""After so long fewer calls have to do."""
_WARM_UP_CALLS = 5
_TIMED_LOADS = 3
_LARGEST_BYTE = 256
_ALWAYS = {"attention_mask": 1, "token_type_ids": 0}
"""What inputs of these names are given: all words are there, and of the first sentence."""


@dataclass(frozen=True, kw_only=True)
class FileInput:
    """One input of a file: its name, the type of its values, and its sizes (None: open)."""

    name: str
    dtype: DTypeLike
    shape: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A file that a runtime has loaded: what it takes, and one call of it."""

    ports: tuple[FileInput, ...]
    run: Callable[[dict[str, NDArray[Any]]], object]


@dataclass(frozen=True, kw_only=True)
class MeteredRuntime:
    """A runtime: its version, how it loads a file with so many threads, and what its calls cost.

    ``cpu_ns`` is a clock that stands still while a call waits: that of the calling thread where it
    is the one that computes, else that of the process.
    """

    version: str
    load: Callable[[Path, int], Opened]
    cpu_ns: Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class MeteredCost:
    """What a file costs; ``busy`` says that calls waited for something else."""

    latency_ms: float
    wall_p50_ms: float
    wall_p95_ms: float
    load_ms: float
    peak_memory_bytes: int | None
    clock: Clock
    busy: bool


def measure(
    path: Path, runtime: MeteredRuntime, *, threads: int, example: tuple[int, ...] = ()
) -> MeteredCost:
    """Measure the file in this process, which must be a fresh one.

    Raises whatever the runtime raises for a file that it does not load or run.
    """
    # It loads ONNX Runtime, which who only asks for the names of runtimes need not.
    from compress.evaluation import peak_memory

    growth = peak_memory.added(lambda: _first_call(runtime.load(path, threads), example))
    loads = timing.timed(
        lambda: runtime.load(path, threads), calls=_TIMED_LOADS, block=1, cpu_ns=runtime.cpu_ns
    )
    calls = _calls(runtime, runtime.load(path, threads), example)
    clock = timing.best_clock()
    return MeteredCost(
        latency_ms=timing.taken([calls], clock)[0],
        wall_p50_ms=float(np.median(calls.wall_ms)),
        wall_p95_ms=float(np.quantile(calls.wall_ms, 0.95)),
        load_ms=min(each for each in loads.by(clock) if each > 0),
        peak_memory_bytes=growth if growth and growth > 0 else None,
        clock=clock,
        busy=timing.load([calls]) > timing.BUSY_LOAD,
    )


def inputs(ports: Sequence[FileInput], example: tuple[int, ...] = ()) -> dict[str, NDArray[Any]]:
    """Return one random value for each input: normal numbers, bytes of any size, else 0 and 1.

    ``example`` are the sizes of one example of the data, channels first, taken where a file leaves
    its own open and the others fit, with channels first or last; of several sequences in one
    example each input has one. What else is open has size 1.
    """
    random = np.random.default_rng(0)
    return {port.name: _values(port, random, _sizes(port.shape, example)) for port in ports}


def _sizes(shape: tuple[int | None, ...], example: tuple[int, ...]) -> list[int]:
    if not shape:
        return []
    batch, *rest = shape
    for wanted in (example, (*example[1:], *example[:1]), example[1:]):
        fits = [own in (None, size) for own, size in zip(rest, wanted, strict=False)]
        if len(rest) == len(wanted) and all(fits):
            return [batch or 1, *wanted]
    return [size or 1 for size in shape]


def _values(port: FileInput, random: np.random.Generator, sizes: Sequence[int]) -> NDArray[Any]:
    kind = np.dtype(port.dtype)
    if port.name in _ALWAYS:
        return np.full(sizes, _ALWAYS[port.name], kind)
    if kind.kind == "f":
        return random.standard_normal(sizes).astype(kind)
    most = _LARGEST_BYTE if kind == np.uint8 else 2
    return random.integers(0, most, sizes).astype(kind)


def _first_call(opened: Opened, example: tuple[int, ...]) -> None:
    opened.run(inputs(opened.ports, example))


def _calls(runtime: MeteredRuntime, opened: Opened, example: tuple[int, ...]) -> Calls:
    given = inputs(opened.ports, example)

    def call() -> None:
        opened.run(given)

    warm_up = timing.timed(call, calls=_WARM_UP_CALLS, block=1, cpu_ns=runtime.cpu_ns)
    block = timing.calls_per_block(int(min(warm_up.wall_ms) * 1e6))
    began, parts = time.perf_counter(), [warm_up]
    while _goes_on(len(parts) - 1, time.perf_counter() - began):
        parts.append(timing.timed(call, calls=1, block=block, cpu_ns=runtime.cpu_ns))
    return timing.joined(parts[1:])


def _goes_on(calls: int, seconds: float) -> bool:
    if calls == 0:
        return True
    is_enough = calls >= FEWEST_CALLS and (seconds >= LEAST_SECONDS or calls >= MOST_CALLS)
    return not is_enough and seconds < MOST_SECONDS


def _dtype(type_name: str) -> DTypeLike:
    found = PORT_TYPES.get(type_name)
    if found is None:
        raise ValueError(f"there are no random inputs of the type {type_name}")
    return found


def _onnxruntime() -> MeteredRuntime:
    import onnxruntime

    def load(path: Path, threads: int) -> Opened:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        ports = tuple(
            FileInput(
                name=port.name,
                dtype=_dtype(port.type),
                shape=tuple(size if isinstance(size, int) else None for size in port.shape),
            )
            for port in session.get_inputs()
        )
        return Opened(ports=ports, run=lambda given: session.run(None, given))

    return MeteredRuntime(version=onnxruntime.__version__, load=load, cpu_ns=time.thread_time_ns)


def _openvino() -> MeteredRuntime:
    # No dependency of ours: it is measured where somebody has installed it.
    openvino = importlib.import_module("openvino")

    def load(path: Path, threads: int) -> Opened:
        core = openvino.Core()
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",  # on some CPUs it is half of that unless asked
        }
        compiled = core.compile_model(core.read_model(path), "CPU", options)
        request = compiled.create_infer_request()
        ports = tuple(
            FileInput(
                name=port.get_any_name(),
                dtype=port.get_element_type().to_dtype(),
                shape=tuple(
                    size.get_length() if size.is_static else None
                    for size in port.get_partial_shape()
                ),
            )
            for port in compiled.inputs
        )
        return Opened(ports=ports, run=request.infer)

    # Its own threads compute, while the calling one waits.
    return MeteredRuntime(version=openvino.__version__, load=load, cpu_ns=time.process_time_ns)


RUNTIMES: Mapping[str, Callable[[], MeteredRuntime]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}
"""Runtimes that a meter knows, by name; each is loaded only when it is asked for."""
