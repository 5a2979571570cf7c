"""What may load where. import-linter keeps the static rules; this runs them.

One process climbs a ladder: each rung imports more, and none of what it and those before it have
loaded may be among what is forbidden to it. So a rung forbids at most what the one before does.
"""

import json
import subprocess
import sys
from itertools import pairwise

import pytest

ENGINES = ("torch", "torch_pruning", "onnxruntime")
HEAVY = (*ENGINES, "onnx", "ray")
SQL_AND_OPTUNA = ("optuna", "sqlalchemy", "alembic")
SCIENCE = ("scipy", "sklearn")

CHECK_A_SUPERNET = """
from compress.network.families.outlining import ElasticFamily
from compress.network.families.residual.config import Residual
from compress.network.supernet import check
from compress.network.supernet.config import Elastic
whole = ElasticFamily(config=Residual(), input_shape=(3, 32, 32), num_classes=10)
check.check(Elastic(widths=(0.5, 1.0)), whole, epochs=1)
"""
SEARCH_WITHOUT_A_STUDY = """
import search.space.space, search.space.grid, search.space.controls, search.space.problem
import search.space.feasibility, search.front.comparison, search.front.pareto, search.front.front
import search.early_stopping.rule, search.forecasting.forecast, search.sampling
import search.queue.untried
"""
COMMANDS = """
from launch import commands
for names in commands.PANELS.values():
    for name in names:
        commands.load(name)
"""
NUMBERS_ONLY = (*HEAVY, *SQL_AND_OPTUNA, *SCIENCE, "store")
NO_DATABASE = (*HEAVY, *SQL_AND_OPTUNA, *SCIENCE)
NO_STUDY = (*HEAVY, "optuna", *SCIENCE)
LADDER = [
    ("import launch.main", (*NUMBERS_ONLY, "numpy", "pydantic", "httpx2", "yaml")),
    ("import compress.tasks.inspection, compress.tasks.formats.npz", NUMBERS_ONLY),
    ("import compress.tasks.formats.holdout", NUMBERS_ONLY),
    ("import compress.network.families.layout", NUMBERS_ONLY),
    ("import compress.network.sources.safetensors_header", NUMBERS_ONLY),
    ("import compress.network.graph.coupling.couplings", NUMBERS_ONLY),
    (CHECK_A_SUPERNET, NUMBERS_ONLY),
    ("import compress.targets.registry", NUMBERS_ONLY),
    ("import featherweight.specs.manifest", NUMBERS_ONLY),
    ("from compress.values import versions; versions.collect()", NUMBERS_ONLY),
    ("import featherweight.client.client", NUMBERS_ONLY),
    (SEARCH_WITHOUT_A_STUDY, NUMBERS_ONLY),
    (COMMANDS, NO_DATABASE),
    ("import workers.supervisor, workers.main", NO_DATABASE),
    ("import workers.fleets.local, workers.fleets.ray", NO_DATABASE),
    ("import store.attempts.attempts", NO_STUDY),
    ("import service.app", NO_STUDY),
    ("import service.main", NO_STUDY),
    ("import search.main", (*HEAVY, *SCIENCE)),
    ("from compress.network.graph import outline, read, shapes, write", ENGINES),
]
CLIMB = """
import json, sys
for code, forbidden in json.loads(sys.stdin.read()):
    exec(code, {})
    found = {name.partition(".")[0] for name in sys.modules} & set(forbidden)
    if found:
        sys.exit(f"{code.strip()}: loaded {sorted(found)}")
"""


def climbed(ladder):
    return subprocess.run(
        [sys.executable, "-c", CLIMB],
        input=json.dumps(ladder),
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )


def test_a_room_loads_nothing_heavier_than_it_may():
    for (_, before), (code, after) in pairwise(LADDER):
        assert set(after) <= set(before), code
    done = climbed(LADDER)
    assert done.returncode == 0, done.stderr


def test_what_is_loaded_and_forbidden_is_named_with_the_import_that_did_it():
    done = climbed([("import json.tool", ["yaml"]), ("import yaml, csv", ["yaml", "csv"])])
    assert (done.returncode, done.stderr) == (1, "import yaml, csv: loaded ['csv', 'yaml']\n")


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("workers.trial_runner", SQL_AND_OPTUNA),
        ("compress.evaluation.peak_memory", ("torch", "onnx", "pydantic")),
        ("workers.work.metering.child", ("torch", "onnx", "pydantic")),
    ],
)
def test_a_process_that_computes_loads_only_what_it_needs(module, forbidden):
    done = climbed([(f"import {module}", forbidden)])
    assert done.returncode == 0, done.stderr
