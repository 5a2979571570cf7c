"""Names of jobs: any script and spaces, in one normal form, and nothing that a terminal obeys."""

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from featherweight.specs.names import JobName

NAME = TypeAdapter(JobName)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("digits", "digits"),
        ("a", "a"),
        ("two words", "two words"),
        (" Größe 42 ", "Größe 42"),
        ("Gro\u0308ße", "Größe"),
        ("小さなモデル", "小さなモデル"),
        ("می\u200cشود", "می\u200cشود"),
        ("👩\u200d🔬 (v2), 50 %", "👩\u200d🔬 (v2), 50 %"),
        ("\u1112\u1161\u11ab" * 100, "한" * 100),
    ],
)
def test_a_name_may_be_of_any_script(given, kept):
    assert NAME.validate_python(given) == kept
    assert NAME.validate_json(json.dumps(given)) == kept


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "is no name of a job"),
        ("  ", "is no name of a job"),
        ("-x", "for example 'x'"),
        ("../etc", "for example 'etc'"),
        ("a/b", "for example 'a b'"),
        ("a\nb", "for example 'a b'"),
        ("a\x1b[2Jb", "for example 'a [2Jb'"),
        ("a\u202eb", "for example 'a b'"),
        ("x" * 101, "at most 100"),
        ("x" * 10_000_000, "at most 100"),
    ],
)
def test_what_is_no_name_is_refused_with_one_like_it(given, words):
    with pytest.raises(ValidationError, match="is no name of a job") as refused:
        NAME.validate_python(given)
    said = refused.value.errors()[0]["msg"]
    assert words in said
    assert len(said) < 600
    assert said.isprintable()


@pytest.mark.parametrize("given", [7, None, ["a"], "\ud800"])
def test_what_is_no_text_is_refused(given):
    with pytest.raises(ValidationError):
        NAME.validate_python(given)
