"""What is declared is what is imported, and what is pinned lies within what is declared."""

import ast
import functools
import importlib.metadata
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
RUN_TIME = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
ONLY_FOR_TESTS = [Requirement(line) for line in PROJECT["dependency-groups"]["dev"]]
BROUGHT_ALONG = {"anyio": "fastapi", "starlette": "fastapi", "h11": "uvicorn"} | {
    "onnx-ir": "onnxscript",
    "protobuf": "onnx",
    "pydantic-core": "pydantic",
}
"""What is imported though only a declared package asks for it: whose version decides."""
NOT_IMPORTED_BY_US = {"cmaes"}
"""Optuna's sampler of that name imports it."""


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().split()
    return {canonicalize_name(name): version for name, version in (x.split("==") for x in lines)}


def names(requirements: list[Requirement]) -> set[str]:
    return {str(canonicalize_name(requirement.name)) for requirement in requirements}


@functools.cache
def imported() -> frozenset[str]:
    """The distributions that the rooms import, wherever in a file they do."""
    modules: set[str] = set()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules.add(node.module.split(".")[0])
    known = importlib.metadata.packages_distributions()
    foreign = modules - sys.stdlib_module_names - set(ROOMS) - {"ray", "pyarrow"}
    return frozenset(str(canonicalize_name(known[module][0])) for module in foreign)


@pytest.mark.parametrize("requirement", [*RUN_TIME, *ONLY_FOR_TESTS], ids=str)
def test_what_is_pinned_lies_within_what_is_declared(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_torch_goes_no_further_than_the_minor_version_that_is_tested() -> None:
    torch = next(requirement for requirement in RUN_TIME if requirement.name == "torch")
    major, minor, *_ = pins()["torch"].split(".")
    assert torch.specifier.contains(f"{major}.{minor}.99")
    assert not torch.specifier.contains(f"{major}.{int(minor) + 1}.0")
    assert torch.specifier.contains(importlib.metadata.version("torch"), prereleases=True)


def test_what_the_rooms_import_is_declared() -> None:
    assert imported() - names(RUN_TIME) == set(BROUGHT_ALONG)
    assert set(BROUGHT_ALONG.values()) <= names(RUN_TIME)


def test_what_is_declared_is_imported() -> None:
    assert names(RUN_TIME) - imported() == NOT_IMPORTED_BY_US


def test_the_wheel_holds_the_licence_and_the_sample_with_its_source(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        sample = archive.read("featherweight/sample_data/digits.npz")
    assert "featherweight/sample_data/README.md" in inside
    version = PROJECT["project"]["version"]
    assert f"featherweight-{version}.dist-info/licenses/LICENSE" in inside
    assert sample == (ROOT / "featherweight/sample_data/digits.npz").read_bytes()
