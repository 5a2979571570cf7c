"""Which sampler a job gets that leaves the choice open."""

from __future__ import annotations

from typing import Any

from compress.network.families.residual.config import Residual
from compress.values.measurement import Metric
from search import sampling
from search.space import space
from search.space.space import Space
from tests import factories

ALL = {"family_member": {}, "filter_pruning": {}, "distillation": {}, "quantization": {}}


def build(techniques: dict[str, Any]) -> Space:
    network = Residual(widths=(16, 32, 64), depths=(2, 3, 2))
    return space.build(factories.spec(techniques=techniques), factories.outline(network))


def test_the_sampler_is_chosen_by_space_and_budget() -> None:
    real = {"distillation": {"temperature": {"low": 1, "high": 8}, "weight": {"low": 0, "high": 1}}}
    assert auto(ALL, 25)[0] == "tpe"
    assert auto(real, 25)[0] == "gp"
    assert auto(real, 301)[0] == "tpe"
    assert auto(ALL, 5000)[0] == "nsga2"
    assert auto({"quantization": {"weight_bits": 8}}, 5)[0] == "random"
    asked = sampling.resolve(factories.problem(factories.spec(sampler="gp", techniques=ALL)))
    assert asked == ("gp", "asked for by name")


def test_costs_that_can_be_counted_choose_the_sampler_that_knows_them() -> None:
    counted = {"family_member": {}, "quantization": {}}
    assert auto(counted, 25, "macs") == ("known_cost", "macs of every candidate can be counted")
    both = auto(counted, 25, "parameters", "macs")
    assert both[1] == "macs and parameters of every candidate can be counted"
    assert auto(counted, 25, "macs", "size_bytes")[0] == "tpe"
    assert auto(ALL, 25, "macs")[0] == "known_cost"
    # Weights decide how many channels a ranking over all groups leaves to each, and the ranks.
    for by_weights in ({"filter_pruning": {"scope": "global", "ratio": 0.5}}, {"low_rank": {}}):
        assert auto(ALL | by_weights, 25, "macs")[0] == "tpe"
    # Accuracy alone has no costs.
    assert sampling.choose_auto(build(counted), 25, metrics=("accuracy",))[0] == "tpe"


def test_trials_of_seconds_choose_the_sampler_that_thinks() -> None:
    def chosen(macs: float, techniques: dict[str, Any] = ALL, trials: int = 25) -> tuple[str, str]:
        return sampling.choose_auto(
            build(techniques), trials, metrics=("accuracy", "size_bytes"), macs=macs
        )

    assert chosen(2.19e11)[0] == "tpe"
    assert chosen(2.2e11)[0] == "known_cost"
    assert chosen(4.56e12) == (
        "known_cost",
        "a candidate trains for up to 4.6e+12 multiply-accumulates",
    )
    assert chosen(1e15, trials=5000)[0] == "nsga2"
    real = {"distillation": {"temperature": {"low": 1, "high": 8}, "weight": {"low": 0, "high": 1}}}
    assert chosen(1e15, real)[0] == "known_cost"


def auto(techniques: dict[str, Any], trials: int, *costs: Metric) -> tuple[str, str]:
    metrics = ("accuracy", *(costs or ("size_bytes",)))
    return sampling.choose_auto(build(techniques), trials, metrics=metrics)
