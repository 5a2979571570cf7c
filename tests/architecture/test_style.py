"""Rules of style that a machine can keep."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("featherweight", "compress", "store", "search", "service", "workers", "launch")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
LONGEST_FUNCTION = 50
LONGEST_FILE = 450
MOST_SIBLINGS = 15
UNCOUNTED = {"__init__.py", "__pycache__"}
ERRORS_OF_BOTH_SIDES = frozenset({"Conflict", "DigestMismatch", "NotFound", "StaleAttempt"})
"""The client raises an error with the name of the code that the service sent: one meaning."""
NAMES_OF_THE_API = frozenset({"Problem"})
"""RFC 9457's problem keeps its name in the API; a job's compiled problem is the search's."""


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def test_the_rooms_are_found():
    assert len(SOURCES) > 50


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_and_files_stay_small(path):
    lengths = [(f.name, (f.end_lineno or f.lineno) - f.lineno + 1) for f in functions(path)]
    assert [one for one in lengths if one[1] > LONGEST_FUNCTION] == []
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


def test_half_of_all_functions_have_at_most_ten_lines():
    sizes = sorted(
        (f.end_lineno or f.lineno) - f.lineno + 1 for path in SOURCES for f in functions(path)
    )
    assert sizes[len(sizes) // 2] <= 12


def test_no_folder_holds_more_than_can_be_seen_at_once():
    folders = {path.parent for path in SOURCES}
    siblings = {
        str(folder.relative_to(ROOT)): len(
            {path.name for path in folder.iterdir() if path.name not in UNCOUNTED}
        )
        for folder in folders
    }
    assert {name: count for name, count in siblings.items() if count > MOST_SIBLINGS} == {}


def test_no_folder_of_tests_or_benchmarks_holds_too_many_files():
    rooms = [ROOT / room for room in ("tests", "benchmarks")]
    files = [p for room in rooms for kind in ("*.py", "*.json") for p in room.rglob(kind)]
    assert ROOT / "benchmarks" / "results" / "cluster" / "start.json" in files
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in files)
    assert {name: count for name, count in counts.items() if count > MOST_SIBLINGS} == {}


def test_nothing_places_a_thing_in_a_drawer_without_a_name():
    drawers = {"utils.py", "helpers.py", "common.py", "manager.py", "engine.py"}
    assert [path for path in SOURCES if path.name in drawers] == []


def test_one_public_class_name_means_one_thing():
    classes = Counter(
        node.name
        for path in SOURCES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    twice = {name for name, count in classes.items() if count > 1}
    assert twice == ERRORS_OF_BOTH_SIDES | NAMES_OF_THE_API


def test_every_test_asserts_something():
    silent = [
        f"{path.relative_to(ROOT)}: {function.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for function in functions(path)
        if function.name.startswith("test_")
        and not re.search(r"\bassert|raises|problem\(|call_and_validate", ast.unparse(function))
    ]
    assert silent == []
