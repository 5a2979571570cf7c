"""A study in Optuna's tables, which dashboards read and a restart begins with.

Optuna's storage writes every parameter, attribute and value by itself: some 60 statements in 20
transactions for one trial. Here a proposal and an outcome are one transaction of a few statements
each, on the tables behind Optuna's own classes; ``open_storage`` has checked that they fit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna import distributions
from optuna.storages import RDBStorage
from optuna.storages._rdb import models as optuna_models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table, bindparam, func, insert, select, update

from search.errors import LeadershipLost

Row = dict[str, Any]
models: Any = optuna_models
"""Optuna's tables, untyped because it declares columns in the style of SQLAlchemy 1."""
STUDIES: Table = models.StudyModel.__table__
TRIALS: Table = models.TrialModel.__table__
_PARAMS: Table = models.TrialParamModel.__table__
_VALUES: Table = models.TrialValueModel.__table__
_USER_ATTRIBUTES: Table = models.TrialUserAttributeModel.__table__
_SYSTEM_ATTRIBUTES: Table = models.TrialSystemAttributeModel.__table__
_STUDY = bindparam("study")
_LOCK_STUDY = select(STUDIES.c.study_id).where(STUDIES.c.study_id == _STUDY).with_for_update()
_NUM_TRIALS = select(func.count()).where(TRIALS.c.study_id == _STUDY)
_LOCK_TRIAL = (
    select(TRIALS.c.trial_id, TRIALS.c.state)
    .where(TRIALS.c.study_id == _STUDY, TRIALS.c.number == bindparam("place"))
    .with_for_update()
)
_END_TRIAL = (
    update(TRIALS)
    .where(TRIALS.c.trial_id == bindparam("trial"))
    .values(state=bindparam("final"), datetime_complete=bindparam("moment"))
)
_ADD_TRIALS = insert(TRIALS).returning(TRIALS.c.number, TRIALS.c.trial_id)
_DETAILS = (_PARAMS, _VALUES, _USER_ATTRIBUTES, _SYSTEM_ATTRIBUTES)


class StudyRecords:
    """The trials of one study. It has one writer; finding another's trial means lost leadership."""

    def __init__(self, storage: RDBStorage, study_id: int) -> None:
        self._storage = storage
        self._study_id = study_id

    def trials(self) -> list[FrozenTrial]:
        """Return all trials by number."""
        found = self._storage.get_all_trials(self._study_id, deepcopy=False)
        return sorted(found, key=lambda trial: trial.number)

    def add(self, trials: Sequence[FrozenTrial]) -> None:
        """Write all or none of these trials, whose numbers follow the existing ones.

        Raises:
            LeadershipLost: Another process has added trials or removed the study.
        """
        with self._storage.engine.begin() as connection:
            self._lock(connection, first=trials[0].number)
            added = connection.execute(_ADD_TRIALS, [self._row(trial) for trial in trials])
            ids = {row.number: row.trial_id for row in added}
            for table, entries in _details((ids[t.number], t) for t in trials).items():
                _insert(connection, table, entries)

    def finish(
        self,
        trial: FrozenTrial,
        state: TrialState,
        *,
        values: Sequence[float] | None = None,
        user_attrs: Mapping[str, Any],
        system_attrs: Mapping[str, Any],
        moment: datetime,
    ) -> None:
        """End a running trial; its existing attributes stay as they are.

        Raises:
            LeadershipLost: The trial is no longer running.
        """
        with self._storage.engine.begin() as connection:
            wanted = {"study": self._study_id, "place": trial.number}
            row = connection.execute(_LOCK_TRIAL, wanted).one_or_none()
            if row is None or row.state is not TrialState.RUNNING:
                raise LeadershipLost(
                    f"trial {trial.number} of the study was ended by somebody else"
                )
            ended = {"trial": row.trial_id, "final": state, "moment": moment}
            connection.execute(_END_TRIAL, ended)
            _insert(connection, _VALUES, _values(row.trial_id, values or ()))
            new = {key: user_attrs[key] for key in user_attrs.keys() - trial.user_attrs.keys()}
            _insert(connection, _USER_ATTRIBUTES, _attributes(row.trial_id, new))
            new = {
                key: system_attrs[key] for key in system_attrs.keys() - trial.system_attrs.keys()
            }
            _insert(connection, _SYSTEM_ATTRIBUTES, _attributes(row.trial_id, new))

    def _lock(self, connection: Connection, *, first: int) -> None:
        study = {"study": self._study_id}
        is_there = connection.scalar(_LOCK_STUDY, study) is not None
        if not is_there or connection.scalar(_NUM_TRIALS, study) != first:
            raise LeadershipLost(
                f"the study has not {first} trials: somebody else has written to it"
            )

    def _row(self, trial: FrozenTrial) -> Row:
        return {
            "study_id": self._study_id,
            "number": trial.number,
            "state": trial.state,
            "datetime_start": trial.datetime_start,
            "datetime_complete": trial.datetime_complete,
        }


def _details(trials: Iterable[tuple[int, FrozenTrial]]) -> dict[Table, list[Row]]:
    """Read what belongs to the trials of these ids, by table."""
    found: dict[Table, list[Row]] = {table: [] for table in _DETAILS}
    for trial_id, trial in trials:
        found[_PARAMS] += _params(trial_id, trial)
        found[_VALUES] += _values(trial_id, trial.values or ())
        found[_USER_ATTRIBUTES] += _attributes(trial_id, trial.user_attrs)
        found[_SYSTEM_ATTRIBUTES] += _attributes(trial_id, trial.system_attrs)
    return found


def _params(trial_id: int, trial: FrozenTrial) -> list[Row]:
    return [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": trial.distributions[name].to_internal_repr(value),
            "distribution_json": distributions.distribution_to_json(trial.distributions[name]),
        }
        for name, value in trial.params.items()
    ]


def _values(trial_id: int, values: Sequence[float]) -> list[Row]:
    stored = [models.TrialValueModel.value_to_stored_repr(value) for value in values]
    return [
        {"trial_id": trial_id, "objective": index, "value": value, "value_type": kind}
        for index, (value, kind) in enumerate(stored)
    ]


def _attributes(trial_id: int, attributes: Mapping[str, Any]) -> list[Row]:
    return [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for key, value in attributes.items()
    ]


def _insert(connection: Connection, table: Table, rows: list[Row]) -> None:
    if rows:
        connection.execute(insert(table), rows)
