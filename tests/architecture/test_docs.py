"""Documents say what the code does."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from compress.techniques import registry
from featherweight import __version__

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_generated_pages_are_fresh():
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_technique_has_a_page_with_formula_paper_and_knobs():
    for technique in registry.TECHNIQUES:
        text = (DOCS / "techniques" / f"{technique.name}.md").read_text().lower()
        for part in ("**what.**", "formula", "paper", "arxiv", "when it hurts", "## knobs"):
            assert part in text, f"{technique.name}: {part}"


def test_every_link_between_documents_leads_somewhere():
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert f"## {__version__}" in (DOCS / "changelog.md").read_text()


def test_every_file_named_in_the_architecture_exists():
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", (DOCS / "architecture.md").read_text())
    assert len(named) >= 5
    assert [path for path in named if not (ROOT / path).exists()] == []
