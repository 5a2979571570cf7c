"""A study in this process's memory, for samplers that read their history again and again."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial

STUDY = 0
"""Id of the one study in such a memory; the ids of its trials are their numbers."""


def of_study(storage: RDBStorage, study_id: int, trials: Sequence[FrozenTrial]) -> InMemoryStorage:
    """Copy the study from the storage; ``trials`` are all of its trials by number."""
    memory = InMemoryStorage()
    name, directions = (
        storage.get_study_name_from_id(study_id),
        storage.get_study_directions(study_id),
    )
    memory.create_new_study(directions, name)
    for key, value in storage.get_study_user_attrs(study_id).items():
        memory.set_study_user_attr(STUDY, key, value)
    for key, value in storage.get_study_system_attrs(study_id).items():
        memory.set_study_system_attr(STUDY, key, value)
    for trial in trials:
        memory.create_new_trial(STUDY, template_trial=trial)
    return memory
