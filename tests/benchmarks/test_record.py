"""What a benchmark finds is kept with what made it, or not at all."""

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from benchmarks import record
from benchmarks.record import Machine, Result, recorded


def test_rows_are_kept_with_machine_commit_seeds_and_duration(tmp_path):
    with recorded(
        "search/asks", "What?", seeds=(3, 4), headline=("b", "none"), folder=tmp_path
    ) as table:
        table.add({"sampler": "a", "ms": 1.5})
        table.add({"sampler": "b", "ms": 2})
    found = record.read(tmp_path / "search" / "asks.json")
    assert found.name == "asks"
    assert found.rows == ({"sampler": "a", "ms": 1.5}, {"sampler": "b", "ms": 2})
    assert (found.seeds, found.headline, found.transcribed) == ((3, 4), ("b",), False)
    assert found.machine == Machine.this()
    assert found.machine.cores >= 1
    assert found.machine.memory_bytes > 2**28
    assert found.load is not None
    assert found.load >= 0
    head = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(head, cwd=record.ROOT, capture_output=True, text=True, check=True)
    assert found.commit is not None
    assert found.commit.removesuffix("-changed") == commit.stdout.strip()
    assert found.duration_seconds is not None


def test_a_benchmark_that_fails_keeps_nothing(tmp_path):
    def benchmark() -> None:
        with recorded("search/asks", "What?", folder=tmp_path) as table:
            table.add({"sampler": "a"})
            sys.exit("no data")

    with pytest.raises(SystemExit):
        benchmark()
    assert list(tmp_path.iterdir()) == []


def test_a_benchmark_without_rows_is_an_error(tmp_path):
    with (
        pytest.raises(ValidationError, match="there are no rows"),
        recorded("search/asks", "What?", folder=tmp_path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["python", "-m", "benchmarks", "start", "listing"], "python -m benchmarks listing"),
        (["python", "-m", "benchmarks"], "python -m benchmarks listing"),
        (
            ["python3", "-m", "benchmarks.search.replayed", "/home/me/a b.db", "--seeds", "9"],
            "python -m benchmarks.search.replayed 'a b.db' --seeds 9",
        ),
    ],
)
def test_the_command_is_what_somebody_types_anywhere(arguments, command):
    assert record.command("listing", arguments) == command


@pytest.mark.parametrize("part", ["machine", "commit", "duration_seconds", "load"])
def test_only_a_copy_may_lack_what_made_it(part, tmp_path):
    with recorded("search/asks", "What?", folder=tmp_path) as table:
        table.add({"sampler": "a"})
    document = json.loads((tmp_path / "search" / "asks.json").read_text()) | {part: None}
    with pytest.raises(ValidationError, match=part):
        Result.model_validate(document)
    assert Result.model_validate(document | {"transcribed": True}).transcribed


def test_a_headline_names_rows_that_there_are(tmp_path):
    with recorded("search/asks", "What?", folder=tmp_path) as table:
        table.add({"sampler": "a"})
    document = json.loads((tmp_path / "search" / "asks.json").read_text()) | {"headline": ["b"]}
    with pytest.raises(ValidationError, match="names no row"):
        Result.model_validate(document)
