from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.storages import RDBStorage

from search.study import StudyProjection, close_storage, migrate, open_storage
from tests import factories

REAL = {
    "distillation": {
        "temperature": {"low": 1.0, "high": 8.0, "log": True},
        "weight": {"low": 0.1, "high": 0.9},
    }
}
MIXED = {
    "family_member": {},
    "filter_pruning": {"round_to": {"low": 1, "high": 8}},
    "quantization": {},
}


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[RDBStorage]:
    url = f"sqlite:///{tmp_path}/studies.db"
    migrate(url)
    opened = open_storage(url)
    yield opened
    close_storage(opened)


def project(
    storage: RDBStorage,
    name: str,
    sampler: str,
    techniques: dict[str, object],
    *,
    train_images: int = 0,
) -> StudyProjection:
    spec = factories.spec(sampler=sampler, techniques=techniques, budget={"trials": 30})
    dataset = factories.dataset_info(num_classes=10, splits={"train": train_images})
    problem = factories.problem(spec, dataset=dataset)
    return StudyProjection(storage, job_id=name, problem=problem)


@pytest.mark.parametrize(
    ("sampler", "techniques"),
    [
        ("auto", MIXED),
        ("tpe", MIXED),
        ("known_cost", MIXED),
        ("nsga2", MIXED),
        ("nsga3", MIXED),
        ("regularized_evolution", MIXED),
        ("local_search", MIXED),
        ("random", MIXED),
        ("tpe", REAL),
        ("gp", REAL),
        pytest.param("auto", REAL, marks=pytest.mark.proof),
    ],
)
def test_every_sampler_proposes_candidates_of_the_space(
    storage: RDBStorage, sampler: str, techniques: dict[str, object]
) -> None:
    projection = project(storage, "one", sampler, techniques)
    found = factories.problem(factories.spec(techniques=techniques)).space
    for index in range(12):
        proposal = projection.ask(index=index)
        assert found.candidate(proposal.params) is not None
        projection.study.tell(proposal.study_number, values=[0.5 + index / 100, 1000.0 - index])


@pytest.mark.parametrize(
    "sampler",
    ["known_cost", "tpe", "nsga2", "nsga3", "regularized_evolution", "local_search", "random"],
)
def test_the_same_seed_and_history_give_the_same_proposals(
    storage: RDBStorage, sampler: str
) -> None:
    proposals = []
    for name in ("one", "two"):
        projection = project(storage, name, sampler, MIXED)
        found = []
        for index in range(14):
            proposal = projection.ask(index=index)
            found.append(proposal.params)
            size = 10_000.0 - 100 * sum(v for v in proposal.params.values())
            projection.study.tell(proposal.study_number, values=[0.9 - index % 3 / 10, size])
        proposals.append(found)
    assert proposals[0] == proposals[1]
    assert len({tuple(params.values()) for params in proposals[0]}) > 7


def test_the_study_says_which_sampler_it_uses_and_why(storage: RDBStorage) -> None:
    study = project(storage, "one", "auto", MIXED).study
    assert study.user_attrs["sampler"] == "tpe"
    assert study.user_attrs["sampler_reason"] == (
        "knobs on a grid or choices, and costs that must be measured"
    )
    assert study.metric_names == ["accuracy", "size_bytes"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]


def test_long_trials_get_the_sampler_that_thinks_and_a_study_keeps_what_it_began_with(
    storage: RDBStorage,
) -> None:
    long = 10**9
    begun = project(storage, "long", "auto", MIXED, train_images=long).study.user_attrs
    assert begun["sampler"] == "known_cost"
    assert "multiply-accumulates" in begun["sampler_reason"]

    project(storage, "short", "auto", MIXED)
    again = project(storage, "short", "auto", MIXED, train_images=long)
    again.ask(index=0)
    assert again.study.user_attrs["sampler"] == "tpe"
    assert type(again.study.sampler).__name__ == "TPESampler"
