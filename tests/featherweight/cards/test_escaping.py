"""Texts of strangers stay texts in Markdown."""

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from featherweight.cards.escaping import markdown, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a plain name (8.5 %), v1.2-3: 'ok'", "a plain name (8.5 %), v1.2-3: 'ok'"),
        ("<img src=x>", "&lt;img src\\=x&gt;"),
        ("a | b", "a \\| b"),
        ("[a](https://example.org)", "\\[a\\](https&#58;//example.org)"),
        ("WWW.example.org me@example.org", "WWW\\.example.org me&#64;example.org"),
        ("&lt; \\< \\|", "&amp;lt; &#92;&lt; &#92;\\|"),
        ("- a", "\\- a"),
        ("  12. a", "12\\. a"),
        ("1) a", "1\\) a"),
        ("# a\n# b", "\\# a&#92;u000a\\# b"),
        ("![x] *a* _b_ `c` ~~d~~ $e$", "\\!\\[x\\] \\*a\\* \\_b\\_ \\`c\\` \\~\\~d\\~\\~ \\$e\\$"),
        ("\u202eabc\x1b[0m\u2028", "&#92;u202eabc&#92;u001b\\[0m&#92;u2028"),
        ("\u00e9 \U0001f600", "\u00e9 \U0001f600"),
    ],
)
def test_a_text_is_shown_and_does_nothing(text, shown):
    assert markdown(text) == shown


def test_a_long_text_is_cut():
    assert visible("a" * 1000) == "a" * 199 + "\u2026"
    assert len(markdown("<" * 1000, most=10)) == 9 * len("&lt;") + 1


@settings(max_examples=300)
@given(
    st.text(alphabet=st.characters() | st.sampled_from("<>&|`*_[]()#-+.!\\ \n@:/w1"), max_size=60)
)
def test_a_renderer_shows_the_text_in_a_paragraph_a_list_and_a_table(text):
    renderer = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    expected = " ".join(visible(text).split())
    said = markdown(text)
    assert shown_by(renderer, f"{said}\n") == expected
    assert shown_by(renderer, f"- {said}\n") == expected
    table = f"| a | b |\n| - | - |\n| {said} | c |\n"
    assert shown_by(renderer, table) == " ".join(f"a b {expected} c".split())


def shown_by(renderer, document):
    """The text that a page shows, blanks aside, and that nothing else is on it."""
    page = renderer.render(document)
    tags = set(re.findall(r"</?(\w+)", page))
    assert tags <= {"p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
