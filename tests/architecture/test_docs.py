"""Documents say what the code does."""

import hashlib
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

from compress.techniques import registry
from featherweight import __version__

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


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
    for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_no_folder_of_documents_holds_too_many_pages():
    counts = Counter(str(page.parent.relative_to(ROOT)) for page in DOCS.rglob("*.md"))
    assert {name: count for name, count in counts.items() if count > 15} == {}


def test_every_decision_has_a_number_of_its_own():
    numbers = [page.name[:4] for page in DOCS.glob("decisions/*/*.md")]
    assert sorted(numbers) == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    assert len(numbers) >= 23


def test_every_anchor_of_a_link_is_a_heading_of_its_page():
    for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]:
        for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", page.read_text()):
            named = page.parent / target if target else page
            assert anchor in headings(named), f"{page.relative_to(ROOT)}: {target}#{anchor}"


def headings(page: Path) -> set[str]:
    """The anchors that a renderer of Markdown gives to the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_version_is_the_same_everywhere():
    assert PROJECT["version"] == __version__
    assert versions()[0] == (__version__, max(day for _, day in versions()))


def test_the_changelog_says_what_each_version_added_changed_and_fixed():
    text = (DOCS / "changelog.md").read_text()
    days = [day for _, day in versions()]
    assert days == sorted(days, reverse=True)
    assert re.findall(r"^## .*$", text, flags=re.MULTILINE) == [
        f"## {version} ({day})" for version, day in versions()
    ]
    parts = set(re.findall(r"^### (.*)$", text, flags=re.MULTILINE))
    assert parts == {"Added", "Changed", "Fixed"}


def versions() -> list[tuple[str, str]]:
    """Every version in the changelog with its day, newest first."""
    text = (DOCS / "changelog.md").read_text()
    return re.findall(r"^## (\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)$", text, flags=re.MULTILINE)


def test_the_licence_is_the_apache_licence_in_full():
    text = (ROOT / "LICENSE").read_bytes()
    # The text of https://www.apache.org/licenses/LICENSE-2.0.txt.
    assert hashlib.sha256(text).hexdigest() == (
        "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    )
    assert (PROJECT["license"], PROJECT["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert "LICENSE" in (ROOT / "Dockerfile").read_text()


def test_every_file_that_a_contributor_is_sent_to_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", text)
    nowhere = [path for path in named if not list(ROOT.glob(f"{path}*"))]
    assert [path for path in nowhere if not (ROOT / "compress" / path).exists()] == []
    assert len(named) >= 15
    assert len(text.splitlines()) <= 40


def test_every_file_named_in_the_architecture_exists():
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", (DOCS / "architecture.md").read_text())
    assert len(named) >= 5
    assert [path for path in named if not (ROOT / path).exists()] == []
