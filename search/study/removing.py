"""Deleting a job's study: a bounded number of trials per transaction, the study itself last.

Optuna would read the whole study to delete it. A process that is killed in between leaves a smaller
study of the same name, and the next one continues.
"""

from __future__ import annotations

from sqlalchemy import Engine, Table, delete, select

from search.study.records import STUDIES, TRIALS, models

TRIALS_AT_ONCE = 200
_TABLES: tuple[Table, ...] = tuple(reversed(models.BaseModel.metadata.sorted_tables))
OF_TRIALS = tuple(table for table in _TABLES if "trial_id" in table.c and table is not TRIALS)
OF_STUDIES = tuple(
    table
    for table in _TABLES
    if "study_id" in table.c and table is not STUDIES and table is not TRIALS
)


def remove_some(engine: Engine, name: str, *, trials: int = TRIALS_AT_ONCE) -> bool:
    """Remove some trials of the study of this name; return True once nothing is left."""
    with engine.begin() as connection:
        named = select(STUDIES.c.study_id).where(STUDIES.c.study_name == name)
        study = connection.scalar(named.with_for_update())
        if study is None:
            return True
        some = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study).limit(trials)
        ids = connection.scalars(some).all()
        for table in OF_TRIALS:
            connection.execute(delete(table).where(table.c.trial_id.in_(ids)))
        connection.execute(delete(TRIALS).where(TRIALS.c.trial_id.in_(ids)))
        if len(ids) == trials:
            return False
        for table in (*OF_STUDIES, STUDIES):
            connection.execute(delete(table).where(table.c.study_id == study))
    return True


def remove(engine: Engine, name: str) -> None:
    """Remove the study of this name, if there is one."""
    while not remove_some(engine, name):
        pass
