"""A technique is added as a folder and its place in the registry, and all of the house has it.

The tree is the project's own, with the folder ``thresholding`` copied to the others: nothing else
of it is changed, and it runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
FOLDER = Path(__file__).parent / "thresholding"
IMPORT = "from compress.techniques.thresholding.technique import TECHNIQUE as THRESHOLDING\n"
LINKED = ("featherweight", "search", "store", "service", "workers", "launch", "migrations", "tests")


def tree(folder: Path) -> Path:
    """The project with one technique more, which comes after sparsity."""
    copied = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "compress", folder / "compress", ignore=copied)
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=copied)
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    techniques = folder / "compress" / "techniques"
    shutil.copytree(FOLDER, techniques / "thresholding", ignore=copied)
    edit(techniques / "registry.py", "\nTECHNIQUES:", f"\n{IMPORT}\nTECHNIQUES:")
    edit(techniques / "registry.py", "    SPARSITY,\n", "    SPARSITY,\n    THRESHOLDING,\n")
    return folder


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``trials.py`` has found on the tree with the technique."""
    folder = tree(tmp_path_factory.mktemp("added"))
    files = tmp_path_factory.mktemp("files")
    done = run(folder, str(Path(__file__).with_name("trials.py")), str(files))
    assert done.returncode == 0, done.stderr
    return json.loads((files / "found.json").read_text())


@pytest.mark.proof
def test_the_space_has_its_knobs_and_its_rules(found: dict[str, Any]) -> None:
    assert found["knobs"]["thresholding.level"] == [0.0, 0.2, 0.4]
    assert found["knobs"]["thresholding.mode"] == ["hard", "soft"]
    assert "uniform pruning" in found["controls"]
    assert "sparsity and thresholding exclude each other" in found["excluded"]
    assert "Both choose the weights that become zero" in found["excluded"]
    one, same, other = found["inactive"]
    assert one == same != other


@pytest.mark.proof
def test_the_search_counts_what_it_saves(found: dict[str, Any]) -> None:
    none, some, many = found["costs"]["levels"]
    assert none > some > many
    floats, zeros = found["costs"]["lowest"]
    assert zeros < floats / 4


@pytest.mark.proof
def test_the_sampler_proposes_it_and_trials_become_files(found: dict[str, Any]) -> None:
    params = [trial["params"] for trial in found["trials"]]
    assert all({"thresholding.level", "thresholding.mode"} <= set(each) for each in params)
    assert len({json.dumps(each, sort_keys=True) for each in params}) > 1
    assert all(trial["bytes"] > 0 for trial in found["trials"])
    whole, thresholded = found["files"]["0.0"], found["files"]["0.4"]
    assert whole["zeros"] < 0.01
    assert thresholded["zeros"] > 0.2
    assert thresholded["bytes"] < whole["bytes"]


@pytest.mark.proof
def test_the_documents_have_its_page_and_its_relations(found: dict[str, Any]) -> None:
    page, pairs = found["pages"]["thresholding"], found["pages"]["compatibility"]
    assert page.startswith("# thresholding\n\nSet weights to zero that are small in their layer.\n")
    assert "| `level` | Share of the largest weight; 0 sets none to zero. | `0.2` |" in page
    assert "| sparsity | thresholding | excludes | Both choose the weights" in pairs
    assert "| filter_pruning | thresholding | composes | The channels that are left get" in pairs
    assert "| thresholding | quantization | composes | The later one works on what" in pairs
    assert "| thresholding | `shrinkage` | `mode` is `soft` |" in pairs
    assert "| thresholding | `level` `0.0` |" in pairs


def without_apply(folder: Path) -> None:
    (folder / "apply.py").unlink()


def without_words(folder: Path) -> None:
    edit(folder / "config.py", "def words(", "def wording(")


def without_summary(folder: Path) -> None:
    edit(folder / "technique.py", '"Set weights to zero that are small in their layer."', '""')


def without_costs(folder: Path) -> None:
    edit(folder / "technique.py", "    costs=_Costs(),\n", "")


def without_description(folder: Path) -> None:
    edit(folder / "config.py", ', description="Share of the threshold that `soft` takes off."', "")


def without_the_field_of_a_rule(folder: Path) -> None:
    edit(folder / "technique.py", 'When("thresholding.mode"', 'When("thresholding.way"')


def without_an_earlier_technique(folder: Path) -> None:
    edit(folder / "technique.py", 'first="sparsity"', 'first="quantization"')


def without_its_own_name(folder: Path) -> None:
    edit(folder / "technique.py", 'name="thresholding"', 'name="threshold"')


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (without_apply, "lacks apply.py"),
        (without_words, "its config lacks words"),
        (without_summary, "summary is no sentence"),
        (without_costs, "acts on weights and lacks costs"),
        (without_description, "fields ['shrinkage'] lack a description"),
        (without_the_field_of_a_rule, "conditions name 'thresholding.way'"),
        (without_an_earlier_technique, "exceptions name 'quantization before thresholding'"),
        (without_its_own_name, "field technique is not 'threshold'"),
    ],
)
def test_a_part_that_is_missing_is_named_at_the_import(
    harm: Callable[[Path], None], named: str, tmp_path: Path
) -> None:
    folder = tree(tmp_path)
    harm(folder / "compress" / "techniques" / "thresholding")
    done = run(folder, "-c", "import compress.techniques.registry")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "IncompleteTechnique: technique 'thresh" in last
    assert named in last


def test_a_technique_is_added_without_torch(tmp_path: Path) -> None:
    code = "import sys, compress.techniques.candidate; sys.exit('torch' in sys.modules)"
    assert run(tree(tmp_path), "-c", code).returncode == 0
