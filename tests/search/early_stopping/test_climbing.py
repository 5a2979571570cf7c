"""The expected number of trials at each rung against the rule, asked about other candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from featherweight.specs.job import JobSpec
from search.early_stopping import climbing, imagined, rule
from search.early_stopping.climbing import Standing
from search.early_stopping.imagined import Curve
from tests import factories

BASELINE = factories.measurement(0.96, 400_000, latency_ms=4.0, parameters=100_000, macs=2_000_000)
TWO = ["maximise accuracy", "minimise size_bytes"]
THREE = [*TWO, "minimise latency_ms"]


def spec(objectives: Sequence[str] = TWO, *, constraints: Sequence[str] = (), **early: object):
    return factories.spec(
        objectives=list(objectives),
        constraints=list(constraints),
        early_stopping={"rungs": [1, 3, 9], "eta": 2} | early,
    )


def candidate(rungs: Sequence[int], random: np.random.Generator) -> Curve:
    """Accuracy follows a root of the bytes, and noise goes both ways: not as the module assumes."""
    share = random.uniform(0.05, 1.0)
    final = 0.96 * share**0.1 + 0.01 * random.standard_normal()
    slower = random.uniform(0.5, 1.5)
    return Curve(
        measured=[
            factories.measurement(
                float(np.clip(final - 0.3 * np.exp(-slower * epochs), 0, 1)),
                int(400_000 * share),
                latency_ms=float(4 * share ** random.uniform(0.7, 1.0)),
                parameters=int(100_000 * share),
            )
            for epochs in rungs
        ]
    )


def by_the_rule(asked: JobSpec, *, trials: int, seeds: int = 4) -> list[float]:
    """Trials that reach each rung where the real rule judges one after the other."""
    rungs, random = asked.early_stopping.rungs, np.random.default_rng(3)
    reached = np.zeros(len(rungs))
    for _ in range(seeds):
        been: list[list[Curve]] = [[] for _ in rungs]
        for curve in (candidate(rungs, random) for _ in range(trials)):
            for rung in range(len(rungs)):
                reached[rung] += 1
                at = imagined.arrival(asked, BASELINE, rung, curve, been[rung])
                been[rung].append(curve)
                if rule.judge(at).stop:
                    break
    return (reached / seeds).tolist()


def epochs(asked: JobSpec, reached: Sequence[float]) -> float:
    steps = np.diff([0, *asked.early_stopping.rungs])
    return float(steps @ np.array(reached))


@pytest.mark.parametrize(
    ("asked", "trials"),
    [
        (spec(), 25),
        (spec(eta=4), 25),
        (spec(tie_break="hypervolume", rounding="nearest", eta=3), 40),
        (spec(["maximise accuracy"], eta=3), 30),
        (spec(THREE, rungs=[0, 2], eta=3), 30),
        (spec(rungs=[0, 1, 3, 9], tie_break="front"), 25),
        (spec(constraints=["size_bytes <= baseline / 2"]), 25),
        (spec(constraints=["accuracy >= baseline - 3 points", "size_bytes <= 100 kB"]), 25),
        (spec(extrapolate=True), 20),
        (spec(), 90),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_about_as_many_are_expected_to_climb_as_the_rule_lets(asked: JobSpec, trials: int) -> None:
    told = climbing.reaching(asked, trials=trials, baseline=BASELINE)
    spent = epochs(asked, by_the_rule(asked, trials=trials))
    assert told[0] == trials
    assert list(told) == sorted(told, reverse=True)
    assert epochs(asked, told) == pytest.approx(spent, rel=0.4)


def test_without_early_stopping_everything_reaches_the_only_rung() -> None:
    assert climbing.reaching(spec(rungs=[5]), trials=12) == (12.0,)


def test_a_single_trial_climbs_to_the_end() -> None:
    assert climbing.reaching(spec(), trials=1) == pytest.approx((1, 1, 1))


def test_more_climb_with_more_objectives_and_fewer_with_a_larger_eta() -> None:
    one, two = (
        climbing.reaching(spec(objectives), trials=30)[-1]
        for objectives in (["maximise accuracy"], TWO)
    )
    strict, mild = (
        climbing.reaching(spec(tie_break="hypervolume", eta=eta), trials=30)[-1] for eta in (4, 1.5)
    )
    assert one < two
    assert strict < mild


def test_in_a_long_search_the_share_that_climbs_nears_one_of_eta() -> None:
    few, many = (climbing.reaching(spec(eta=3), trials=n)[1] / n for n in (30, 5000))
    assert many < 0.8 * few
    assert many >= 1 / 3


def test_what_has_happened_counts_and_what_is_over_is_certain() -> None:
    asked = spec()
    over = Standing(reached=(30, 11, 4), climbed=(11, 4, 0))
    assert climbing.reaching(asked, trials=30, standing=over) == (30, 11, 4)
    half = Standing(reached=(15, 15, 15), climbed=(15, 15, 0))
    few = Standing(reached=(15, 5, 1), climbed=(5, 1, 0))
    expected, more, less = (
        climbing.reaching(asked, trials=30, standing=standing) for standing in (None, half, few)
    )
    assert less[2] < expected[2] < more[2]
    assert all(n <= 30 for n in more)


def test_a_trial_on_its_way_up_is_among_those_that_reach_the_next_rung() -> None:
    on_its_way = Standing(reached=(30, 10, 4), climbed=(11, 4, 0))
    assert climbing.reaching(spec(), trials=30, standing=on_its_way)[1] == 11


def test_a_baseline_that_lacks_a_metric_does_not_matter() -> None:
    assert BASELINE.peak_memory_bytes is None
    asked = spec(["maximise accuracy", "minimise peak_memory_bytes"])
    assert len(climbing.reaching(asked, trials=9, baseline=BASELINE)) == 3
