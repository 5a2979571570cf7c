"""Every task, by name. A task that lacks a part fails here, when it is imported.

A new task is a folder of this package, its name in ``compress.tasks.names`` and its place in
``TASKS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from compress.tasks.kinds.classification.task import Classification
from compress.tasks.kinds.image_classification.task import ImageClassification
from compress.tasks.kinds.multilabel import Multilabel
from compress.tasks.kinds.regression import Regression
from compress.tasks.kinds.sequence_labelling.task import SequenceLabelling
from compress.tasks.kinds.text import TextClassification, TextMatching
from compress.tasks.kinds.unlabelled import Unlabelled
from compress.tasks.names import TASK_METRICS, TaskName
from compress.tasks.task import Task
from compress.values.measurement import METRICS

_ATTRIBUTES = ("name", "primary", "view_revision")


class IncompleteTask(TypeError):
    """A task lacks a part, or a part of it names what is not there."""


def table(kinds: Sequence[type[Task]]) -> Mapping[TaskName, Task]:
    """Make one task of each kind and index them by name.

    Raises IncompleteTask, which names the task and the part that is missing, and ValueError for a
    name that comes twice.
    """
    made = [_whole(kind) for kind in kinds]
    found: dict[TaskName, Task] = {task.name: task for task in made}
    if len(found) < len(made):
        raise ValueError(f"two tasks have one name: {[task.name for task in made]}")
    return found


def _whole(kind: type[Task]) -> Task:
    named = getattr(kind, "name", kind.__name__)
    missing = [part for part in _ATTRIBUTES if not hasattr(kind, part)]
    missing += sorted(kind.__abstractmethods__)
    if missing:
        raise IncompleteTask(f"task {named!r} lacks {', '.join(missing)}")
    if kind.name not in get_args(TaskName):
        raise IncompleteTask(
            f"task {named!r}: its name is not in compress.tasks.names, which has "
            f"{list(get_args(TaskName))}"
        )
    row = METRICS.get(kind.primary)
    if row is None or not row.is_bounded:
        raise IncompleteTask(
            f"task {named!r}: primary must be a metric of answers that is 1 at best, got "
            f"{kind.primary!r}, expected one of "
            f"{[name for name, each in METRICS.items() if each.is_bounded]}"
        )
    if kind.primary != TASK_METRICS[kind.name][0]:
        raise IncompleteTask(
            f"task {named!r}: its primary metric is {kind.primary!r}, and TASK_METRICS begins with "
            f"{TASK_METRICS[kind.name][0]!r}"
        )
    return kind()


TASKS: Mapping[TaskName, Task] = table(
    (
        ImageClassification,
        Classification,
        Multilabel,
        Regression,
        TextClassification,
        TextMatching,
        SequenceLabelling,
        Unlabelled,
    )
)
IMAGE_CLASSIFICATION = TASKS["image_classification"]
"""The task of whoever names none."""
if absent := sorted(set(get_args(TaskName)) - set(TASKS)):
    raise IncompleteTask(f"compress.tasks.names has {absent}, and there is no such task")
