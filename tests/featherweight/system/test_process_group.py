"""A family of processes: kept alive, stopped in order, and never left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from featherweight.system.frozen import is_stopped
from featherweight.system.process_group import ProcessGroup, Role
from tests.running import environment, until

TELLS = """
import os, signal, sys, time
from pathlib import Path
from featherweight.system import lifeline

lifeline.die_with_named_parent()
file = Path(sys.argv[1])
def stop(number, frame):
    with file.open("a") as log:
        log.write(f"{sys.argv[2]} stopped\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop if sys.argv[2] != "deaf" else signal.SIG_IGN)
with file.open("a") as log:
    log.write(f"{sys.argv[2]} {os.getpid()}\\n")
time.sleep(600)
"""
PARENT = """
import sys, time
from pathlib import Path
from featherweight.system.process_group import ProcessGroup, Role

command = [sys.executable, "-c", sys.argv[1], sys.argv[2], "one"]
ProcessGroup([Role(name="one", command=command)]).start()
time.sleep(600)
"""


@pytest.fixture
def told(tmp_path):
    return tmp_path / "told"


@pytest.fixture
def role(told, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])

    def made(name, **changes):
        return Role(name=name, command=[sys.executable, "-c", TELLS, str(told), name], **changes)

    return made


def lines(told: Path) -> list[str]:
    return told.read_text().splitlines() if told.exists() else []


def pids(told: Path) -> list[int]:
    return [int(line.split()[1]) for line in lines(told) if line.split()[1].isdigit()]


def test_children_are_stopped_last_first(role, told):
    group = ProcessGroup([role("one"), role("two")])
    group.start()
    until(lambda: len(pids(told)) == 2)
    group.stop()
    assert lines(told)[2:] == ["two stopped", "one stopped"]


def test_a_child_that_dies_is_started_again(role, told):
    group = ProcessGroup([role("one")])
    group.start()
    first = until(lambda: pids(told))[0]
    os.kill(first, signal.SIGKILL)
    second = until(lambda: pids(told)[1:])[0]
    assert (second != first, group.deaths("one")) == (True, 1)
    group.stop()
    assert not psutil.pid_exists(second)


def test_a_child_that_does_not_listen_is_killed(role, told):
    group = ProcessGroup([role("deaf", stop_seconds=0.2)])
    group.start()
    (pid,) = until(lambda: pids(told))
    group.stop()
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="stopped processes are unknown")
def test_a_child_that_is_stopped_is_replaced(role, told):
    group = ProcessGroup([role("one", frozen_seconds=0.0), role("other", frozen_seconds=0.0)])
    group.start()
    try:
        until(lambda: len(lines(told)) == 2)
        [frozen] = [int(line.split()[1]) for line in lines(told) if line.startswith("one ")]
        os.kill(frozen, signal.SIGSTOP)
        until(lambda: len(lines(told)) == 3)
        assert lines(told)[2].startswith("one ")
        assert (group.deaths("one"), group.deaths("other")) == (1, 0)
        assert not psutil.pid_exists(frozen)
    finally:
        group.stop()


def test_a_process_is_stopped_if_one_below_it_is():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as parent:
        [child] = until(lambda: psutil.Process(parent.pid).children())
        assert not is_stopped(parent.pid)
        child.suspend()
        until(lambda: is_stopped(parent.pid))
        child.resume()
        until(lambda: not is_stopped(parent.pid))


def test_a_child_writes_to_its_log(tmp_path):
    log = tmp_path / "log" / "loud.log"
    loud = Role(name="loud", command=[sys.executable, "-c", "print('hello')"], log=log)
    group = ProcessGroup([loud])
    group.start()
    assert until(lambda: log.exists() and log.read_text()).startswith("hello\n")
    group.stop()


def test_no_child_outlives_a_parent_that_is_killed(told):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, TELLS, str(told)], env=environment())
    (pid,) = until(lambda: pids(told))
    child = psutil.Process(pid)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs([child], timeout=10)
    assert alive == []
