"""Every family has a page, and the pages count what the code counts."""

import json
import re
from pathlib import Path

import pytest

from compress.network.families import layout
from compress.network.families.catalog import BY_NAME, read

DOCS = Path(__file__).parents[4] / "docs"
ROW = re.compile(r"^\| `(\{.*\})` \| (\d+)x(\d+)x(\d+) \| (\d+) \| ([\d,]+) \| ([\d,]+) \|$", re.M)
# The other pages have tables of their own, and tests of them.
COUNTED = {"residual": 6, "resnet": 6, "vgg_bn": 5, "ds_cnn": 3, "nasbench201": 3}


def page(name):
    return (DOCS / "families" / f"{name}.md").read_text()


def test_every_family_has_a_page_and_every_page_a_family():
    assert {path.stem for path in (DOCS / "families").glob("*.md")} == set(BY_NAME)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_page_names_the_paper_the_counts_and_how_members_are_cut(name):
    text = page(name)
    assert text.startswith(f"# {name}: ")
    for words in ("**What.**", "**Paper.**", "https://arxiv.org/abs/", "multiply-accumulates"):
        assert words in text
    assert "**Weight files.**" in text or "## Weights" in text
    assert all(f"`{dimension}`" in text for dimension in BY_NAME[name].config.elastic)


@pytest.mark.parametrize("name", COUNTED)
def test_a_page_counts_what_the_code_counts(name):
    rows = ROW.findall(page(name))
    assert len(rows) == COUNTED[name]
    for document, channels, height, width, classes, parameters, macs in rows:
        architecture = read(json.loads(document.replace("\\|", "|")))
        assert architecture.family == name
        size = {"in_channels": int(channels), "num_classes": int(classes)}
        image = {"height": int(height), "width": int(width)}
        assert f"{layout.parameters(architecture, **size):,}" == parameters
        assert f"{layout.macs(architecture, **size, **image):,}" == macs


@pytest.mark.parametrize("name", BY_NAME)
def test_every_setting_of_a_family_is_described(name):
    fields = BY_NAME[name].config.model_fields
    assert [field for field in fields if not fields[field].description] == ["family"]


def test_readme_and_index_lead_to_the_families():
    index = (DOCS / "reference" / "families.md").read_text()
    assert all(f"](../families/{name}.md)" in index for name in BY_NAME)
    assert "docs/reference/families.md" in (DOCS.parent / "README.md").read_text()
