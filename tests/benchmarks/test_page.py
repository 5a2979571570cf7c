"""One page about benchmarks, made from their results."""

import ast

import pytest

from benchmarks import page, record
from benchmarks.record import Result

LONGEST = 150
NOTES = record.ROOT / "docs" / "notes"


def kept_places() -> set[str]:
    """The first argument of every ``keeps`` and ``recorded`` in the benchmarks."""
    places: set[str] = set()
    for path in (record.ROOT / "benchmarks").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id in ("keeps", "recorded"):
                places |= {str(a.value) for a in call.args[:1] if isinstance(a, ast.Constant)}
    return places


def test_the_page_is_made_from_the_results_and_fits():
    assert page.PAGE.read_text() == page.text()
    assert len(page.text().splitlines()) <= LONGEST


def test_every_result_is_on_the_page_with_question_and_command():
    text = page.text()
    assert len(page.results()) >= 20
    for result in page.results():
        assert f"## {result.question}\n| `{result.command}` (" in text
        assert result.name == next(
            path.stem for path in record.RESULTS.rglob("*.json") if record.read(path) == result
        )


def test_every_benchmark_records_in_a_place_that_the_page_knows():
    assert kept_places() | {"search/early_stopping_digits"} == {
        *(place for place in page.ORDER if place != "search/profile"),
        *page.ELSEWHERE,
    }


def test_results_lie_in_the_rooms_of_their_benchmarks():
    rooms = {path.parent.name for path in (record.ROOT / "benchmarks").glob("*/__init__.py")}
    assert {place.partition("/")[0] for place in (*page.ORDER, *page.ELSEWHERE)} <= rooms


def test_what_was_measured_says_where_and_what_was_copied_does_not():
    made = [result for result in page.results() if not result.transcribed]
    assert made != []
    assert all(result.machine and result.commit and result.duration_seconds for result in made)
    copied = [result for result in page.results() if result.transcribed]
    assert all(result.machine is None and result.commit is None for result in copied)


def test_a_result_that_has_no_place_on_the_page_is_named(tmp_path, monkeypatch):
    with record.recorded("search/unheard_of", "What?", folder=tmp_path) as table:
        table.add({"what": "a"})
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    with pytest.raises(ValueError, match="search/unheard_of"):
        page.results()


def test_only_the_headline_is_shown_and_figures_are_read_easily(tmp_path, monkeypatch):
    with record.recorded("cluster/start", "How?", headline=("b",), folder=tmp_path) as table:
        table.add({"what": "a", "bytes": 1})
        table.add({"what": "b", "bytes": 1234567, "s": 0.123456, "said": None})
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    assert "| a |" not in page.text()
    assert "| b | 1,234,567 | 0.1235 |  |" in page.text()


def test_notes_are_few_and_short():
    pages = list(NOTES.glob("*.md"))
    assert 0 < len(pages) <= 15
    assert {path.name for path in pages if len(path.read_text().splitlines()) >= 200} == set()
    assert {path.stem for path in pages} == set(page.NOTES)


def test_a_result_of_another_shape_is_refused():
    document = page.results()[0].model_dump(mode="json") | {"unknown": 1}
    with pytest.raises(ValueError, match="unknown"):
        Result.model_validate(document)
