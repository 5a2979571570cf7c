"""A metric is one row: in a copy of the rooms, a row is added and a job compares it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("featherweight", "compress", "store", "search", "service")
TABLE = Path("compress/values/measurement.py")
LAST = "    ]\n)\n"
ROW = """        MetricInfo(
            name="p95_ms",
            words="slow calls",
            unit="ms",
            direction="minimise",
            is_known_before_training=False,
            needs="runtime",
            in_proportion_to=None,
            read=lambda measured: measured.latency.p95_ms,
        ),
"""
USE = """
from compress.values.latency.latency import Latency
from compress.values.measurement import Measurement, Parity
from featherweight.specs.job import JobSpec
from search.early_stopping import climbing
from search.front import front
from search.front.front import FrontCandidate
from service.reports import figures

spec = JobSpec.model_validate({
    "name": "toy", "data": "digits",
    "model": {"architecture": {"family": "residual"}, "epochs": 1},
    "techniques": {"quantization": {}}, "budget": {"trials": 6},
    "objectives": ["maximise accuracy", "minimise p95_ms"],
    "constraints": ["p95_ms <= baseline / 2"],
})

def measured(p95_ms):
    return Measurement(
        accuracy={"validation": 0.9}, size_bytes=int(1000 * p95_ms), parameters=500, macs=2000,
        latency=Latency(median_ms=1.0, p95_ms=p95_ms, threads=1, batch=1),
        parity=Parity(max_abs_error=0.0, agreement=1.0, images=1),
    )

baseline = measured(4.0)
files = [FrontCandidate(key=ms, measurement=measured(ms),
                        violation=spec.constraints[0].violation(measured(ms), baseline))
         for ms in (3.0, 2.0, 1.0)]
asked = {"objectives": spec.objectives, "constraints": spec.constraints, "baseline": baseline}
chosen = front.select(files, **asked)
assert chosen.front == [1.0], chosen
assert 0 < chosen.hypervolume < 1
assert front.recommend(files, **asked)[0] == 1.0
assert climbing.reaching(spec, trials=3, baseline=baseline)[0] == 3
rows = {row.metric.name: row for row in figures.of_report(baseline, measured(1.0))}
assert (rows["p95_ms"].baseline, rows["p95_ms"].recommended) == (4.0, 1.0)
compared = figures.compared(spec)
assert [info.name for info in compared] == ["accuracy", "p95_ms"]
assert figures.of(measured(1.25))["p95_ms"] == 1.25
assert "p95_ms" in str(JobSpec.model_json_schema())
print("done")
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The rooms with one row more."""
    folder = tmp_path_factory.mktemp("clone")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / TABLE).read_text()
    before, last, after = text.rpartition(LAST)
    (folder / TABLE).write_text(before + ROW + last + after)
    return folder


def run(clone, code):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": str(clone)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_row_is_enough_to_compare_a_metric(clone):
    found = run(clone, USE)
    assert found.stderr == ""
    assert found.stdout == "done\n"


def test_a_row_that_lacks_a_part_fails_at_import_and_names_the_part(clone):
    table = clone / TABLE
    text = table.read_text()
    table.write_text(text.replace('            words="slow calls",\n', ""))
    found = run(clone, "import compress.values.measurement")
    table.write_text(text)
    assert found.returncode == 1
    assert "missing 1 required keyword-only argument: 'words'" in found.stderr
