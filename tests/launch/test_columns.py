"""Tables on narrow terminals: what has no room is left out and named; nothing is cut to pieces."""

import io

import pytest
from rich.console import Console
from rich.markup import escape

from featherweight.cli.output import table

COLUMNS = ["job", "name", ">trials", "owner", "what was done"]
DONE = "filter_pruning 0.25, quantization of 8 bits, 12 epochs"
ROWS = [
    ("3f2a91c0", escape("digits [v2]"), "12/40", "alice", DONE),
    ("9b1c0000", "小さなモデル", "1/4", "bob", "nothing"),
]


def lines(width, *, rows=ROWS, **options):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(table(COLUMNS, rows, **options))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_wide_terminal_shows_everything_in_one_line_each():
    heading, first, second = lines(120)
    assert heading.split() == ["job", "name", "trials", "owner", "what", "was", "done"]
    assert "digits [v2]" in first
    assert first.endswith(DONE)
    assert heading.index("trials") + len("trials") == first.index("12/40") + len("12/40")
    assert "小さなモデル" in second


@pytest.mark.parametrize("width", [80, 60, 40, 20, 10, 2])
def test_no_line_is_longer_than_the_terminal_and_what_is_left_out_is_named(width):
    found = lines(width, spare=["owner", "trials"])
    console = Console(width=width)
    assert all(console.render_str(line, markup=False).cell_len <= width for line in found)
    text = " ".join(" ".join(found).split())
    if width >= 20:
        assert "3f2a91c0" in text
        assert ("not shown" in text) == (width < 50)
    if width == 40:
        assert "for want of room: trials, owner; --json has all of it" in text
        assert "digits [v2]" in text


def test_columns_go_from_the_right_where_nothing_is_spare_and_sentences_wrap_before():
    found = " ".join(lines(58))
    assert "not shown" not in found
    assert "owner" in found
    assert "room: owner" in " ".join(lines(50))


def test_a_table_without_rows_has_its_headings():
    assert lines(40, rows=[])[0].split()[:2] == ["job", "name"]
