"""One process that loads one runtime: for its version, or for what one file costs in it.

    python -m workers.work.metering.child RUNTIME [FILE THREADS [SIZE...]]

It writes one JSON document. A runtime that refuses the file, by whatever error, is an answer, too.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from compress.evaluation import metering
from featherweight.system import lifeline


def found(name: str, file: str, threads: str, *sizes: str) -> dict[str, Any]:
    """Return what the file costs, or the refusal in words. ``sizes`` are those of an example."""
    runtime = metering.RUNTIMES[name]()
    told = {"runtime": {"name": name, "version": runtime.version}}
    try:
        example = tuple(map(int, sizes))
        cost = metering.measure(Path(file), runtime, threads=int(threads), example=example)
        return told | asdict(cost)
    except Exception as error:  # noqa: BLE001 - whatever a runtime raises is its answer
        return told | {"refusal": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Do what the command line says."""
    lifeline.die_with_named_parent()
    name, *rest = sys.argv[1:]
    # What a runtime prints is not our answer.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer = found(name, *rest) if rest else {"version": metering.RUNTIMES[name]().version}
    with out:
        json.dump(answer, out)


if __name__ == "__main__":
    main()
