"""A study as it stands in Optuna's tables: what dashboards read, and what a restart begins with.

Optuna's storage writes every parameter, attribute and value by itself: some 60 statements in 20
transactions for one trial. Here a proposal and an outcome are one transaction of a few statements
each, through Optuna's own classes of its tables; ``open_storage`` has checked that they fit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from optuna import distributions
from optuna.storages import RDBStorage
from optuna.storages._rdb import models as optuna_models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from search.errors import LeadLost

Row = dict[str, Any]
models: Any = optuna_models
"""Untyped: Optuna describes its columns as SQLAlchemy 1 did."""


class StudyRecords:
    """The trials of one study. There is one writer: whoever finds another's trial has lost."""

    def __init__(self, storage: RDBStorage, study_id: int) -> None:
        self._storage = storage
        self._study_id = study_id

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        found = self._storage.get_all_trials(self._study_id, deepcopy=False)
        return sorted(found, key=lambda trial: trial.number)

    def add(self, trials: Sequence[FrozenTrial]) -> None:
        """Write trials whose numbers follow those that are there, all or none.

        Raises:
            LeadLost: somebody else has added trials, or removed the study.
        """
        with self._transaction() as session:
            self._lock(session, first=trials[0].number)
            rows = [self._row(trial) for trial in trials]
            session.add_all(rows)
            session.flush()
            for model, entries in _details(zip(rows, trials, strict=True)).items():
                _insert(session, model, entries)

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
        """End a running trial; attributes that it has already stay as they are.

        Raises:
            LeadLost: the trial does not run any more.
        """
        with self._transaction() as session:
            found = select(models.TrialModel).where(
                models.TrialModel.study_id == self._study_id,
                models.TrialModel.number == trial.number,
            )
            row = session.scalars(found.with_for_update()).one_or_none()
            if row is None or row.state is not TrialState.RUNNING:
                raise LeadLost(f"trial {trial.number} of the study was ended by somebody else")
            row.state, row.datetime_complete = state, moment
            _insert(session, models.TrialValueModel, _values(row.trial_id, values or ()))
            new = {key: user_attrs[key] for key in user_attrs.keys() - trial.user_attrs.keys()}
            _insert(session, models.TrialUserAttributeModel, _attributes(row.trial_id, new))
            new = {
                key: system_attrs[key] for key in system_attrs.keys() - trial.system_attrs.keys()
            }
            _insert(session, models.TrialSystemAttributeModel, _attributes(row.trial_id, new))

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with Session(self._storage.engine) as session, session.begin():
            yield session

    def _lock(self, session: Session, *, first: int) -> None:
        study = select(models.StudyModel.study_id).where(
            models.StudyModel.study_id == self._study_id
        )
        is_there = session.scalar(study.with_for_update()) is not None
        trials = select(func.count()).where(models.TrialModel.study_id == self._study_id)
        if not is_there or session.scalar(trials) != first:
            raise LeadLost(f"the study has not {first} trials: somebody else has written to it")

    def _row(self, trial: FrozenTrial) -> Any:
        return models.TrialModel(
            study_id=self._study_id,
            number=trial.number,
            state=trial.state,
            datetime_start=trial.datetime_start,
            datetime_complete=trial.datetime_complete,
        )


def _details(
    trials: Iterable[tuple[Any, FrozenTrial]],
) -> dict[type[Any], list[Row]]:
    found: dict[type[Any], list[Row]] = {
        models.TrialParamModel: [],
        models.TrialValueModel: [],
        models.TrialUserAttributeModel: [],
        models.TrialSystemAttributeModel: [],
    }
    for row, trial in trials:
        found[models.TrialParamModel] += _params(row.trial_id, trial)
        found[models.TrialValueModel] += _values(row.trial_id, trial.values or ())
        found[models.TrialUserAttributeModel] += _attributes(row.trial_id, trial.user_attrs)
        found[models.TrialSystemAttributeModel] += _attributes(row.trial_id, trial.system_attrs)
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


def _insert(session: Session, model: type[Any], rows: list[Row]) -> None:
    if rows:
        session.execute(insert(model), rows)
