"""How long the service takes to import and to answer, and what it loads. Bound: 2 s, no torch."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.cluster.processes import Cluster
from benchmarks.record import Table, keeps

HEAVY = {"torch", "onnx", "onnxruntime", "optuna", "ray"}


@keeps("cluster/start", "How soon does the service answer, and what does it load?")
def main(table: Table) -> None:
    """Print import and start times, as a ratio to importing FastAPI alone."""
    bare = min(_seconds("import fastapi, sqlalchemy.orm") for _ in range(3))
    ours = min(_seconds("import service.main") for _ in range(3))
    code = "import sys, service.main; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    began = time.perf_counter()
    with Cluster(workers=0, searcher=False) as cluster:
        cluster.wait_healthy()
        up = time.perf_counter() - began
    print(
        f"import service.main            {ours:.2f} s  ({ours / bare:.2f}x of FastAPI + SQLAlchemy)"
    )
    print(f"migrate, start, answer /healthz {up:.2f} s")
    heavy = ", ".join(sorted(HEAVY & set(loaded.stdout.split()))) or "none"
    print(f"heavy modules loaded: {heavy}")
    table.add(
        {
            "what": "import service.main",
            "s": round(ours, 2),
            "of FastAPI + SQLAlchemy": round(ours / bare, 2),
            "until /healthz answers, s": round(up, 2),
            "heavy modules": heavy,
            "bound": "2 s, none",
        }
    )


def _seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
