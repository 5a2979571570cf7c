"""What calls tell of a latency: sequences of times whose answer is known, and no real clock."""

from __future__ import annotations

import random

import pytest

from compress.evaluation import latency
from compress.values.latency import timing
from compress.values.latency.latency import Latency
from compress.values.latency.timing import Calls, Clock, Run


def calls(cpu_ms: list[float], wall_ms: list[float] | None = None) -> Calls:
    return Calls(wall_ms=tuple(wall_ms or cpu_ms), cpu_ms=tuple(cpu_ms))


def quiet(ms: float, *, count: int = 100, seed: int = 0) -> Calls:
    """Calls on a machine that does nothing else: 0 to 5 % of spread, hardly a wait."""
    draw = random.Random(seed)
    cpu_ms = [ms * (1 + 0.05 * draw.random()) for _ in range(count)]
    return calls(cpu_ms, [1.01 * one for one in cpu_ms])


def interrupted(ms: float, *, slice_ms: float = 4.0, others: int = 4, seed: int = 1) -> Calls:
    """The same file where others take turns: a call that outlasts a time slice waits for them.

    One in ten finds its caches cold after that.
    """
    draw = random.Random(seed)
    cpu_ms, wall_ms = [], []
    for one in quiet(ms, seed=seed).cpu_ms:
        waits = draw.random() < one / slice_ms
        cpu_ms.append(one * (1.4 if waits and draw.random() < 0.1 else 1.0))
        wall_ms.append(cpu_ms[-1] + (others * slice_ms if waits else 0.0))
    return calls(cpu_ms, wall_ms)


def told(
    run: Run, *, clock: Clock = "cpu", reference_ms: float | None = 5.0, threads: int = 1
) -> Latency:
    is_busy = timing.is_busy(run, clock)
    return latency.summarised(
        run, clock=clock, is_busy=is_busy, threads=threads, reference_ms=reference_ms
    )


def test_the_ratio_on_a_busy_machine_is_that_of_a_quiet_one_where_wall_times_are_far_off() -> None:
    still = told([quiet(1.0), quiet(2.5, seed=2)])
    busy = [interrupted(1.0), interrupted(2.5, seed=2)]
    found = told(busy)
    assert found.ratio == pytest.approx(still.ratio, rel=0.03)
    assert found.compared_ms == pytest.approx(2.0, rel=0.03)
    by_wall = sorted(busy[0].wall_ms)[50] / sorted(busy[1].wall_ms)[50]
    assert not 0.5 < by_wall / 0.4 < 2
    assert found.wall_ms == pytest.approx(sorted(busy[0].wall_ms)[50], rel=0.1)


def test_a_busy_machine_is_marked_with_a_factor_and_a_quiet_one_is_not() -> None:
    assert (told([quiet(1.0), quiet(2.0)]).busy, told([quiet(1.0), quiet(2.0)]).within) == (
        False,
        1,
    )
    found = told([interrupted(1.0), interrupted(2.0)])
    assert (found.busy, found.within, found.clock) == (True, timing.LEAST_FACTOR, "cpu")


def test_times_that_change_on_the_way_are_marked_by_how_far_they_are_apart() -> None:
    """A neighbour on the same core, which no clock of this thread's waits can see."""
    own = timing.joined([quiet(1.0), quiet(1.6)])
    found = told([own], reference_ms=None)
    assert (found.busy, found.median_ms) == (True, pytest.approx(1.01, rel=0.01))
    assert found.within == pytest.approx(1.6, rel=0.05)


def test_of_two_files_that_met_the_same_moments_the_ratio_is_in_less_doubt() -> None:
    own = timing.joined([quiet(1.0), quiet(1.6)])
    found = told([own, timing.joined([quiet(2.0), quiet(3.2)])])
    assert (found.busy, found.within) == (True, timing.LEAST_FACTOR)
    assert told([own, quiet(2.0, count=200)]).within == pytest.approx(1.6, rel=0.05)


def test_by_the_walls_clock_the_doubt_is_at_least_as_large_as_the_waits() -> None:
    run = [interrupted(3.5), interrupted(3.5, seed=2)]
    found = told(run, clock="wall")
    assert (found.busy, found.clock) == (True, "wall")
    assert found.within >= timing.load(run) > 2


def test_with_several_threads_the_doubt_is_at_least_what_they_may_gain() -> None:
    busy = [interrupted(1.0), interrupted(2.0)]
    assert told(busy, threads=4).within == 4.0
    assert told([quiet(1.0), quiet(2.0)], threads=4).within == 1.0


def held_back(of: Calls, *, every: int, to: float) -> Calls:
    """The same calls where the CPU's clock is late: now and then it stands still, or nearly."""
    cpu_ms = [one if n % every else one * to for n, one in enumerate(of.cpu_ms)]
    return calls(cpu_ms, list(of.wall_ms))


@pytest.mark.parametrize("to", [0.0, 0.001, 0.4])
def test_a_call_during_which_the_clock_stood_still_says_nothing(to: float) -> None:
    both = [quiet(1.0), quiet(2.5, seed=2)]
    found = told([held_back(one, every=7, to=to) for one in both])
    assert found.ratio == pytest.approx(told(both).ratio, rel=0.02)
    assert found.median_ms == pytest.approx(1.0, rel=0.02)


def test_the_tenth_of_a_hundred_calls_is_taken_and_the_measurement_says_so() -> None:
    found = told([calls([1.0 + n / 100 for n in range(101)])], reference_ms=None)
    assert found.median_ms == pytest.approx(1.1)
    assert found.estimator == found.taken_by == "quantile_10"


def test_where_the_clock_never_went_on_the_walls_is_asked() -> None:
    still = [held_back(quiet(1.0), every=1, to=0.0), quiet(2.5, seed=2)]
    assert told(still).median_ms == pytest.approx(1.015, rel=0.02)
    assert timing.apart(still, still, "cpu") == 1.0


def test_several_tries_are_one_run_in_their_order() -> None:
    found = timing.joined([calls([1.0], [2.0]), calls([3.0, 4.0], [5.0, 6.0])])
    assert found == calls([1.0, 3.0, 4.0], [2.0, 5.0, 6.0])


class Machine:
    """Runs in a given order, and a clock that only they and the pauses between them move."""

    def __init__(self, *runs: Run, seconds: float = 0.5) -> None:
        self.runs, self.seconds = list(runs), seconds
        self.now, self.pauses = 0.0, list[float]()

    def run(self) -> Run:
        self.now += self.seconds
        return self.runs.pop(0)

    def wait(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def until_quiet(self, patience: float) -> tuple[Run, bool]:
        return timing.until_quiet(
            self.run,
            clock="cpu",
            patience_seconds=patience,
            wait=self.wait,
            now=lambda: self.now,
        )


def test_a_quiet_machine_is_measured_once() -> None:
    machine = Machine([quiet(1.0)])
    assert machine.until_quiet(10.0) == ([quiet(1.0)], False)
    assert machine.pauses == []


def test_a_busy_one_is_measured_again_and_the_quiet_run_counts_alone() -> None:
    machine = Machine([interrupted(1.4)], [interrupted(1.2)], [quiet(1.0)])
    assert machine.until_quiet(10.0) == ([quiet(1.0)], False)
    assert machine.pauses == [0.1, 0.2]


def test_a_busy_one_that_says_the_same_twice_is_believed_and_all_of_its_calls_count() -> None:
    machine = Machine([interrupted(1.2)], [interrupted(1.0)], [interrupted(1.01)], [quiet(1.0)])
    found, is_busy = machine.until_quiet(10.0)
    assert is_busy
    assert found == [timing.joined([interrupted(1.2), interrupted(1.0), interrupted(1.01)])]


def test_both_files_have_to_say_the_same() -> None:
    """A ratio repeats, too, where one file alone was slowed down each time."""
    first, other = [interrupted(1.0), interrupted(2.0)], [interrupted(1.3), interrupted(2.6)]
    machine = Machine(first, other, first, first)
    assert machine.until_quiet(10.0)[1]
    assert len(machine.pauses) == 2


def test_one_that_never_says_the_same_is_given_up_in_time() -> None:
    machine = Machine(*[[interrupted(4.0 * 0.8**number)] for number in range(9)])
    found, is_busy = machine.until_quiet(3.0)
    assert is_busy
    assert machine.pauses == [0.1, 0.2, 0.4]
    assert len(found[0].cpu_ms) == 4 * 100
    assert machine.now <= 0.5 + 3.0


def test_a_long_file_is_not_timed_again_where_that_would_take_too_long() -> None:
    machine = Machine([interrupted(1.0)], seconds=20.0)
    assert machine.until_quiet(3.0)[1]
    assert machine.pauses == []


def test_short_calls_are_timed_in_blocks_and_long_ones_alone() -> None:
    assert timing.calls_per_block(10**9) == 1
    done: list[int] = []
    found = timing.timed(lambda: done.append(1), calls=3, block=40)
    assert len(done) == 3 * 40
    assert len(found.wall_ms) == len(found.cpu_ms) == 3
    assert all(0 < one < 1 for one in found.cpu_ms)
