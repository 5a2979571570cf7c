"""What may load where. import-linter keeps the static rules; this runs them."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "onnx", "onnxruntime", "ray")


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("service.app", (*HEAVY, "optuna")),
        ("service.main", (*HEAVY, "optuna")),
        ("store.attempts.attempts", (*HEAVY, "optuna")),
        ("search.main", HEAVY),
        ("featherweight.client.client", (*HEAVY, "optuna", "sqlalchemy")),
        ("launch.main", (*HEAVY, "optuna", "sqlalchemy")),
        ("workers.supervisor", (*HEAVY, "optuna", "sqlalchemy")),
        ("compress.tasks.inspection", HEAVY),
        ("featherweight.specs.manifest", HEAVY),
        ("compress.network.graph.coupling.couplings", HEAVY),
        ("compress.network.graph.outline", ("torch", "onnxruntime")),
        ("compress.evaluation.peak_memory", ("torch", "onnx", "pydantic")),
    ],
)
def test_a_room_loads_nothing_heavier_than_it_may(module, absent):
    assert not loaded_by(module) & set(absent)


def test_workers_do_not_load_optuna_or_sql():
    assert not loaded_by("workers.trial_runner") & {"optuna", "sqlalchemy"}
