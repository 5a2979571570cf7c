"""What is shown of a running job: trial, epoch, time left and the best file, calmly."""

import io
import time
from datetime import UTC, datetime

import pytest
from rich.console import Console, Group

from featherweight.cli import follow
from featherweight.specs.schemas import EventSchema


def event(type, **data):
    return EventSchema(job="j", seq=1, type=type, at=datetime.now(UTC), data=data)


def after(*events):
    standing = follow.JobStanding(total=4)
    for one in events:
        follow.count(one, standing)
    return standing


def test_the_newest_running_trial_is_said_with_its_epochs():
    begun = (event("trial.running", number=1), event("trial.running", number=2))
    assert after().trial == ""
    assert after(*begun).trial == "trial 2 +1, epoch 0"
    rung = event("trial.rung", number=2, rung=1, epochs=4)
    assert after(*begun, rung).trial == "trial 2 +1, epoch 4"
    assert after(*begun, rung, event("trial.complete", number=2)).trial == "trial 1, epoch 0"
    assert after(*begun, event("trial.waiting", number=1)).trial == "trial 2, epoch 0"
    # An event of a trial that began before the first event that was seen.
    assert after(event("trial.rung", number=9, rung=0, epochs=1)).trial == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "1 s"),
        (0.4, "1 s"),
        (59, "59 s"),
        (90, "2 min"),
        (3599, "60 min"),
        (3600, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (200_000, "2 days"),
    ],
)
def test_time_is_told_as_people_tell_it(seconds, words):
    assert follow.duration(seconds) == words


@pytest.mark.parametrize("width", [40, 80])
def test_on_a_terminal_nothing_is_longer_than_a_line(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    standing = after(event("job.phase", phase="search"), event("trial.running", number=3))
    standing.ends_at = time.monotonic() + 600
    standing.best = "best of 4: 93.10 % on validation, 12,345 bytes; " + "the smallest " * 20
    with follow._Bars(console, standing) as bars:
        bars.show(event("trial.running", number=3), standing)
        shown = Console(file=io.StringIO(), width=width, color_system=None)
        shown.print(Group(*bars.get_renderables()))
    assert isinstance(shown.file, io.StringIO)
    lines = shown.file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    text = " ".join(" ".join(lines).split())
    for words in ("search", "trial 3, epoch 0", "10 min left", "best of 4: 93.10 %"):
        assert words in text or width == 40, text
    assert len(lines) == 2
