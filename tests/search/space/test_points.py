"""Many candidates read knob by knob are those that are read one by one."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.samplers import candidates
from search.samplers.candidates import Absence
from search.samplers.parameters import Parameter
from search.space.points import ABSENT, Points


def test_a_column_is_made_once_and_only_when_somebody_asks() -> None:
    made: list[str] = []

    def column(name: str) -> list[object]:
        made.append(name)
        return [f"{name}0", ABSENT, f"{name}2"]

    points = Points(3, {name: lambda name=name: column(name) for name in ("a", "b")})
    assert len(points) == 3
    assert list(points.rows(["b", "z"], ["none", 7])) == [("b0", 7), ("none", 7), ("b2", 7)]
    assert made == ["b"]
    assert list(points) == [{"a": "a0", "b": "b0"}, {}, {"a": "a2", "b": "b2"}]
    assert [points[0], points[-1]] == [{"a": "a0", "b": "b0"}, {"a": "a2", "b": "b2"}]
    assert points[1:] == [{}, {"a": "a2", "b": "b2"}]
    assert sorted(made) == ["a", "b"]
    with pytest.raises(IndexError):
        points[3]


def test_without_a_knob_that_is_asked_for_every_row_is_empty() -> None:
    assert list(Points(2, {}).rows([], [])) == [(), ()]
    assert list(Points(0, {"a": list}).rows(["a"], [0])) == []


def test_the_values_of_a_pool_are_those_of_its_knobs() -> None:
    distributions = {
        "bits": CategoricalDistribution([2, 4, 8]),
        "depth": IntDistribution(1, 3),
        "share": FloatDistribution(0.0, 1.0),
    }
    knobs = [Parameter(name=name, distribution=found) for name, found in distributions.items()]
    rule = Absence(knob=2, decider=0, codes=frozenset({1.0}))
    pool = candidates.drawn(knobs, [rule], np.empty((0, 3)), np.random.default_rng(0))
    found = list(pool.present())
    assert len(found) == len(pool.codes) > 500
    for row, params in enumerate(found):
        whole = pool.params(row)
        assert ("share" in params) == (whole["bits"] != 4)
        assert params == {name: whole[name] for name in params}
