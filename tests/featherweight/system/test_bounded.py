"""A child process on a stranger's bytes: bounded in memory, time and output, and never left."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading

import psutil
import pytest

from featherweight.system import bounded
from featherweight.system.bounded import GivenUp, ProcessBounds

BOUNDS = ProcessBounds(memory_bytes=2**30, seconds=30.0, answer_bytes=2**20)
PROGRAMS = {
    "hungry": "held = bytearray(2**31)",
    "endless": "while True: pass",
    "asleep": "import time; time.sleep(600)",
    "talkative": "import sys; sys.stdout.write('x' * 2**22)",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "writing": "import os, sys; file = os.fdopen(int(sys.argv[-1]), 'wb'); "
    "file.write(bytes(int(sys.argv[1]))); file.close()",
    "secretive": "import json, os; print(json.dumps(dict(os.environ)))",
    "spawning": "import os, sys; sys.stdout.write(str(os.getpid())); sys.stdout.flush(); "
    "import time; time.sleep(600)",
}


def always():
    return True


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs one of the programs on the bytes ``[1]``, for so many seconds."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("FEATHERWEIGHT_TOKEN", "fw_secret")
    (tmp_path / "given").write_bytes(b"[1]")

    def started(name, *, seconds=30.0, is_wanted=always):
        (tmp_path / f"{name}.py").write_text(PROGRAMS[name])
        bounds = ProcessBounds(memory_bytes=2**30, seconds=seconds, answer_bytes=2**20)
        return bounded.run([name], tmp_path / "given", bounds, is_wanted=is_wanted)

    return started


def test_a_module_reads_the_file_and_answers(tmp_path):
    (tmp_path / "given").write_bytes(b'{"a":[1,2]}')
    ended = bounded.run(["json.tool"], tmp_path / "given", BOUNDS, is_wanted=always)
    assert (ended.status, ended.words) == (0, "")
    assert ended.answer.split() == [b"{", b'"a":', b"[", b"1,", b"2", b"]", b"}"]


def test_a_module_has_its_arguments(tmp_path):
    (tmp_path / "given").write_bytes(b'{"a":[1,2]}')
    command = ["json.tool", "--compact"]
    ended = bounded.run(command, tmp_path / "given", BOUNDS, is_wanted=always)
    assert ended.answer.strip() == b'{"a":[1,2]}'


def test_what_a_module_raises_is_told_in_a_line(tmp_path):
    (tmp_path / "given").write_bytes(b"no json")
    ended = bounded.run(["json.tool"], tmp_path / "given", BOUNDS, is_wanted=always)
    assert ended.status == 1
    assert ended.words.startswith("Expecting value")


def test_memory_is_bounded(run):
    assert run("hungry").words == "MemoryError"


def test_time_is_bounded(run):
    ended = run("asleep", seconds=0.5)
    assert (ended.status, ended.words) == (None, "it took too long")


def test_busy_time_is_bounded_by_the_kernel_too(run):
    ended = run("endless", seconds=1.4)
    assert ended.status in (None, -signal.SIGXCPU)
    assert ended.words == "it took too long"


def test_an_answer_is_bounded(run):
    ended = run("talkative")
    assert ended.words
    assert ended.is_cut
    assert len(ended.answer) == 2**20


def test_a_crash_is_told_by_its_signal(run):
    assert run("killed").words == "it was ended by SIGSEGV"


def test_a_child_has_no_secrets_of_its_parent(run):
    answer = run("secretive").answer.decode()
    assert "fw_secret" not in answer
    assert '"PATH"' in answer


def test_who_gives_up_leaves_no_process(run):
    begun = threading.Event()
    threading.Timer(0.5, begun.set).start()
    with pytest.raises(GivenUp):
        run("spawning", is_wanted=lambda: not begun.is_set())
    left = [p for p in psutil.Process(os.getpid()).children(recursive=True) if p.is_running()]
    assert [p for p in left if "featherweight.system.bounded" in " ".join(p.cmdline())] == []


def test_a_file_that_is_gone_is_an_error_of_its_own(tmp_path):
    with pytest.raises(FileNotFoundError):
        bounded.run(["json.tool"], tmp_path / "gone", BOUNDS, is_wanted=always)


@pytest.mark.parametrize("size", [2**21, 2**22])
def test_a_file_besides_the_answer_is_written_within_its_bound(tmp_path, monkeypatch, size):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "given").write_bytes(b"")
    (tmp_path / "writing.py").write_text(PROGRAMS["writing"])
    bounds = dataclasses.replace(BOUNDS, output_bytes=2**21)
    command = ["writing", str(size)]
    with (tmp_path / "output").open("wb") as output:
        ended = bounded.run(command, tmp_path / "given", bounds, is_wanted=always, outputs=[output])
    assert (ended.words == "") == (size == bounds.output_bytes)
    assert (tmp_path / "output").stat().st_size == bounds.output_bytes
