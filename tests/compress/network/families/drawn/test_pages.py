"""The pages of drawn families: each is there, and counts what the code counts."""

import json
import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from compress.network.families.drawn import catalog
from compress.network.signature import Examples

DOCS = Path(__file__).parents[5] / "docs"
ROW = re.compile(
    r"^\| `(\{.*\})` \| `(\w+)` \| ([\dx]+) \| (\d+) \| ([\d,]+) \| ([\d,]+) \|$", re.M
)
TEXTS = {
    name: (DOCS / "families" / "drawn" / f"{name}.md").read_text() for name in ("text", "arrays")
}
CONFIG = TypeAdapter(catalog.DrawnArchitecture)


@pytest.mark.parametrize("name", catalog.DRAWN_BY_NAME)
def test_every_family_has_a_heading_and_every_setting_a_meaning(name):
    config = catalog.DRAWN_BY_NAME[name].config
    assert f"\n## {name}\n" in TEXTS["text" if config.takes_ids else "arrays"]
    fields = config.model_fields
    assert [field for field in fields if not fields[field].description] == ["family"]


@pytest.mark.parametrize("page", TEXTS)
def test_a_page_counts_what_the_code_counts(page):
    rows = ROW.findall(TEXTS[page])
    assert len(rows) == TEXTS[page].count("| `{")
    for document, task, example, answers, parameters, macs in rows:
        config = CONFIG.validate_python(json.loads(document))
        shape = tuple(map(int, example.split("x")))
        given = Examples(task=task, input_shape=shape, words=(2,) if config.takes_ids else None)
        fitted = catalog.fitted(config, given)
        found = catalog.outline(fitted, input_shape=shape, num_classes=int(answers))
        assert (f"{found.parameters:,}", f"{found.macs:,}") == (parameters, macs)
