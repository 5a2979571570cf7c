"""What benchmarks found, kept as ``benchmarks/results/ROOM/NAME.json``: rows, and what made them.

``benchmarks.page`` makes ``docs/benchmarks.md`` from these files. A run of a part (one sampler, one
drill) writes the file anew as well: commit those of whole runs.
"""

from __future__ import annotations

import datetime
import functools
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Concatenate, ParamSpec, Self

from pydantic import BaseModel, model_validator

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
Cell = str | int | float | None
Row = Mapping[str, Cell]
P = ParamSpec("P")
_MADE_BY = ("duration_seconds", "commit", "machine", "load")


class Machine(BaseModel, frozen=True, extra="forbid"):
    """The machine that a benchmark ran on."""

    cpu: str
    cores: int
    memory_bytes: int
    os: str

    @classmethod
    def this(cls) -> Machine:
        """The machine that we run on; ``cores`` are those that this process may use."""
        return cls(
            cpu=_cpu(),
            cores=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            os=f"{platform.system()} {platform.release().partition('-')[0]}",
        )


class Result(BaseModel, frozen=True, extra="forbid"):
    """One file of results.

    ``headline`` names the rows that the page shows, by their first cell; all of them if it is
    empty. ``load`` is how many processes wanted a core in the minute before the start. A
    transcribed result was typed in from an earlier page: what that did not say is None.
    """

    name: str
    question: str
    command: str
    date: datetime.date
    duration_seconds: float | None
    commit: str | None
    machine: Machine | None
    load: float | None
    seeds: tuple[int, ...]
    transcribed: bool = False
    headline: tuple[str, ...] = ()
    rows: tuple[dict[str, Cell], ...]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        missing = [k for k in _MADE_BY if getattr(self, k) is None]
        if missing and not self.transcribed:
            raise ValueError(f"{self.name}: {', '.join(missing)} may be left out of copies only")
        if not self.rows:
            raise ValueError(f"{self.name}: there are no rows")
        firsts = {str(next(iter(row.values()))) for row in self.rows}
        if unknown := set(self.headline) - firsts:
            raise ValueError(f"{self.name}: the headline names no row: {sorted(unknown)}")
        return self


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of one benchmark, as they come; the first cell of a row names it."""

    rows: list[dict[str, Cell]] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Keep one row: column to figure. Units belong into the names of columns."""
        self.rows.append(dict(row))


@contextmanager
def recorded(
    place: str,
    question: str,
    *,
    seeds: Sequence[int] = (),
    headline: Sequence[str] = (),
    folder: Path = RESULTS,
) -> Iterator[Table]:
    """Keep the rows that are added within; a benchmark that fails keeps nothing.

    ``place`` is ``ROOM/NAME``: the room of the benchmark, and a name of its own.
    """
    table, commit, load = Table(), _commit(), os.getloadavg()[0]
    began = time.perf_counter()
    yield table
    firsts = {str(next(iter(row.values()))) for row in table.rows}
    path = (folder / place).with_suffix(".json")
    result = Result(
        name=path.stem,
        question=question,
        command=command(path.stem, sys.orig_argv),
        date=datetime.datetime.now(datetime.UTC).date(),
        duration_seconds=round(time.perf_counter() - began, 1),
        commit=commit,
        machine=Machine.this(),
        load=round(load, 1),
        seeds=tuple(seeds),
        headline=tuple(row for row in headline if row in firsts),
        rows=tuple(table.rows),
    )
    path.parent.mkdir(exist_ok=True)
    path.write_text(result.model_dump_json(indent=1) + "\n")


def keeps(
    place: str, question: str, *, seeds: Sequence[int] = (), headline: Sequence[str] = ()
) -> Callable[[Callable[Concatenate[Table, P], None]], Callable[P, None]]:
    """Let a function, which gets a table as its first argument, record what it adds to it."""

    def around(benchmark: Callable[Concatenate[Table, P], None]) -> Callable[P, None]:
        @functools.wraps(benchmark)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            with recorded(place, question, seeds=seeds, headline=headline) as table:
                benchmark(table, *args, **kwargs)

        return run

    return around


def read(path: Path) -> Result:
    """One result. Raises ValidationError if the file is none."""
    return Result.model_validate_json(path.read_text())


def command(name: str, arguments: Sequence[str]) -> str:
    """What somebody types to run it again; of absolute paths only the last part is kept."""
    if "-m" not in arguments:
        return f"python -m benchmarks {name}"
    at = arguments.index("-m") + 1
    module, rest = arguments[at], arguments[at + 1 :]
    if module == "benchmarks":
        return f"python -m benchmarks {name}"
    return shlex.join(["python", "-m", module, *map(_without_folder, rest)])


def _without_folder(argument: str) -> str:
    return Path(argument).name if Path(argument).is_absolute() else argument


def _commit() -> str:
    """The commit of the code, marked if the code differs from it."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":!benchmarks/results", ":!docs")
    return f"{commit}-changed" if changed else commit


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
