"""What is written to Optuna's tables in few statements is what Optuna itself would write."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.errors import LeadershipLost
from search.study import close_storage, open_storage
from search.study.records import StudyRecords

DISTRIBUTIONS = {
    "width": CategoricalDistribution([0.5, 0.75, 1.0]),
    "ratio": FloatDistribution(0.0, 0.6, step=0.1),
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "bits": IntDistribution(2, 8, step=2),
}
PARAMS = {"width": 0.75, "ratio": 0.3, "rate": 0.01, "bits": 4}
ENDED = datetime(2026, 5, 4, 3, 2, 1)  # noqa: DTZ001 - as Optuna has it


@pytest.fixture
def storage(study_url: str) -> Iterator[RDBStorage]:
    opened = open_storage(study_url)
    yield opened
    close_storage(opened)


def new_study(storage: RDBStorage) -> int:
    study = optuna.create_study(storage=storage, directions=["maximize", "minimize"])
    return storage.get_study_id_from_name(study.study_name)


def trial(state: TrialState, **changes: object) -> FrozenTrial:
    made = create_trial(state=state, params=PARAMS, distributions=DISTRIBUTIONS, **changes)
    made.number = 0
    return made


def facts(found: FrozenTrial) -> dict[str, object]:
    fields = ("number", "state", "values", "params", "distributions", "user_attrs", "system_attrs")
    return {name: getattr(found, name) for name in fields}


@pytest.mark.parametrize(
    "made",
    [
        trial(TrialState.RUNNING, system_attrs={"tpe:relative_params:0": '{"width": 0.75}'}),
        trial(
            TrialState.COMPLETE,
            values=[0.9, math.inf],
            user_attrs={"trial": "abc", "rung": None},
            constraints={"size <= 3": -0.5},
        ),
        trial(TrialState.FAIL),
    ],
    ids=lambda made: made.state.name,
)
def test_a_trial_is_written_as_optuna_writes_it(storage: RDBStorage, made: FrozenTrial) -> None:
    theirs, ours = new_study(storage), new_study(storage)
    storage.create_new_trial(theirs, template_trial=made)
    StudyRecords(storage, ours).add([made])

    (expected,), (found,) = storage.get_all_trials(theirs), storage.get_all_trials(ours)
    assert facts(found) == facts(expected)
    assert list(found.params) == list(expected.params)
    assert (found.datetime_start, found.datetime_complete) == (
        expected.datetime_start,
        expected.datetime_complete,
    )


def test_an_outcome_is_written_as_optuna_writes_it(storage: RDBStorage) -> None:
    theirs, ours = new_study(storage), new_study(storage)
    made = trial(TrialState.RUNNING, user_attrs={"origin": "control"})
    trial_id = storage.create_new_trial(theirs, template_trial=made)
    storage.set_trial_user_attr(trial_id, "rung", 2)
    storage.set_trial_system_attr(trial_id, "constraints:size", 0.25)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5, -math.inf])
    records = StudyRecords(storage, ours)
    records.add([made])
    records.finish(
        made,
        TrialState.COMPLETE,
        values=[0.5, -math.inf],
        user_attrs={"origin": "control", "rung": 2},
        system_attrs={"constraints:size": 0.25},
        moment=ENDED,
    )

    (expected,), (found,) = storage.get_all_trials(theirs), records.trials()
    assert facts(found) == facts(expected)
    assert found.datetime_complete == ENDED


def test_a_second_writer_is_told_that_it_has_lost_and_changes_nothing(storage: RDBStorage) -> None:
    study_id = new_study(storage)
    one, two = StudyRecords(storage, study_id), StudyRecords(storage, study_id)
    made = trial(TrialState.RUNNING)
    one.add([made])
    with pytest.raises(LeadershipLost, match="somebody else has written"):
        two.add([made])
    end = {"user_attrs": {}, "system_attrs": {}, "moment": ENDED}
    one.finish(made, TrialState.FAIL, **end)
    with pytest.raises(LeadershipLost, match="ended by somebody else"):
        two.finish(made, TrialState.COMPLETE, values=[0.0, 0.0], **end)

    (found,) = one.trials()
    assert (found.state, found.values) == (TrialState.FAIL, None)


def test_a_study_that_is_gone_takes_no_trial(storage: RDBStorage) -> None:
    study_id = new_study(storage)
    storage.delete_study(study_id)
    with pytest.raises(LeadershipLost):
        StudyRecords(storage, study_id).add([trial(TrialState.RUNNING)])
