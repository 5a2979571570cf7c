"""What spaces, forecasts and seeded searches come to, as one plain document."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import numpy as np
from optuna.distributions import distribution_to_json

from compress.network.families.catalog import Architecture
from compress.network.families.mobilenet_v2.config import MobileNetV2
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.residual.config import Residual
from search import sampling
from search.forecasting import forecast
from search.loop.searcher import Searcher
from search.space import feasibility, grid, supernets
from search.space.known_costs import KnownCosts
from search.space.problem import Problem
from search.space.space import Space
from search.study import frozen, initial_design
from store.session import Database
from tests import factories
from tests.search import simulated

EVERYTHING: dict[str, Any] = {
    "family_member": {},
    "filter_pruning": {"scope": ["stage", "global"], "ratio": {"low": 0, "high": 0.5}},
    "low_rank": {},
    "distillation": {},
    "sparsity": {},
    "weight_sharing": {},
    "quantization": {"weight_bits": [8, 4, 2], "edges_8bit": [True, False]},
    "mirroring": {"flip": ["none", "horizontal"]},
}
SPACES: Mapping[str, tuple[Architecture, dict[str, Any]]] = {
    "usual": (factories.ARCHITECTURE, {}),
    "everything": (Residual(widths=(4, 8, 8), depths=(2, 1, 1)), {"techniques": EVERYTHING}),
    "members": (factories.ARCHITECTURE, factories.SHARED),
    "kernels": (MobileNetV2(width=0.25), {"techniques": {"family_member": {}, "quantization": {}}}),
    "cells": (
        NasBench201(channels=4, cells=(1, 1, 1), cell=("all",) * 6),
        {"techniques": {"family_member": {"cell": ["skip_connect", "nor_conv_3x3", "none"]}}},
    ),
    "profiled": (factories.ARCHITECTURE, factories.PROFILED),
    "unallotted": (factories.ARCHITECTURE, {**factories.PROFILED, "profile": {"allocate": False}}),
}
SEARCHES: Mapping[str, dict[str, Any]] = {
    "random": {"sampler": "random", "budget": {"trials": 9, "parallel_trials": 1}},
    "tpe": {"sampler": "tpe", "budget": {"trials": 12, "parallel_trials": 2}},
    "local_search": {"sampler": "local_search", "budget": {"trials": 12, "parallel_trials": 1}},
}
_RANDOM_POINTS = 6
_SHAPE = (1, 8, 8)
_CLASSES = 10
_SPLITS = {"train": 0}
_BASELINE = factories.measurement()
_DIGITS = 10
"""Significant digits of a float: what differs behind them depends on the processor."""


def spaces() -> dict[str, Any]:
    """Each space with its knobs, controls, candidates and all that is known of them."""
    return {name: _space(architecture, changes) for name, (architecture, changes) in SPACES.items()}


def proposals(database: Database, study_url: str, changes: dict[str, Any]) -> list[Any]:
    """Every trial of a seeded search that a formula measures."""
    job_id = simulated.submit(database, **changes)
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        simulated.run(database, searcher)
    return plain(
        [
            [row.number, row.phase, row.origin, row.candidate_digest, row.seed, row.params]
            for row in simulated.rows(database, job_id)
        ]
    )


def plain(found: Any) -> Any:
    """The value as JSON holds it, floats rounded."""
    return json.loads(
        json.dumps(found), parse_float=lambda text: float(f"{float(text):.{_DIGITS}g}")
    )


def _space(architecture: Architecture, changes: dict[str, Any]) -> Any:
    spec = factories.spec(**changes)
    problem = factories.problem(
        spec,
        own=architecture,
        dataset=factories.dataset_info(num_classes=_CLASSES, input_shape=_SHAPE, splits=_SPLITS),
        baseline=_BASELINE,
        profile=factories.profile_document() if spec.profile else None,
    )
    found = problem.space
    draw = np.random.default_rng(7)
    drawn = [
        {knob.name: grid.draw(knob, draw) for knob in found.turning} for _ in range(_RANDOM_POINTS)
    ]
    return plain(
        {
            "knobs": [knob.schema().model_dump(mode="json") for knob in found.knobs],
            "concrete": [knob.name for knob in found.concrete],
            "num_candidates": str(found.num_candidates),
            "controls": found.controls(num_random=2),
            "distributions": {
                name: distribution_to_json(one) for name, one in frozen.distributions(found).items()
            },
            "drawn": [_point(problem, params) for params in drawn],
            "design": initial_design.candidates(problem, count=4),
            "bounds": _bounds(problem),
            "sampler": sampling.resolve(problem),
            "members": _members(problem),
            "forecast": _forecast(problem),
        }
    )


def _point(problem: Problem, params: dict[str, Any]) -> Any:
    candidate = problem.space.candidate(params)
    bounds = feasibility.candidate_bounds(problem.spec, candidate, problem.outline)
    return {
        "params": params,
        "digest": candidate.digest(),
        "costs": _costs(problem.space, params),
        "bounds": dataclasses.asdict(bounds),
    }


def _costs(space: Space, params: dict[str, Any]) -> Any:
    known = KnownCosts(space=space)
    if space.allocation is not None:
        return {}
    return {m: v for m, v in known.of(params).items() if m in known.exact | known.estimated}


def _bounds(problem: Problem) -> Any:
    lowest = feasibility.lower_bounds(problem.spec, problem.space)
    highest = feasibility.highest(problem.space.concrete, problem.outline)
    return [dataclasses.asdict(lowest), highest]


def _members(problem: Problem) -> Any:
    return {
        "elastic": supernets.elastic(problem.space).model_dump(mode="json"),
        "costs": dataclasses.asdict(supernets.costs(problem)),
        "typical": supernets.typical(problem),
    }


def _forecast(problem: Problem) -> Any:
    costs = dataclasses.replace(supernets.costs(problem), typical=supernets.typical(problem))
    baseline = factories.measurement(
        seconds={"train": 10.0, "export": 1.5}, train_images_per_second=1000.0
    )
    told = forecast.forecast(problem.spec, train_images=2000, baseline=baseline, costs=costs)
    return told.model_dump(mode="json")
