"""The registry has every task whole, and refuses one that lacks a part."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import get_args

import pytest

from compress.tasks import registry
from compress.tasks.kinds.image_classification.task import ImageClassification
from compress.tasks.names import TaskName
from compress.tasks.registry import IncompleteTask
from compress.tasks.task import Task

PARTS = sorted(Task.__abstractmethods__)


def without(part: str) -> type[Task]:
    """Image classification that has everything but one part."""

    def lacking(*given: object) -> None:
        raise AssertionError(part)

    return type("Toy", (ImageClassification,), {part: abstractmethod(lacking)})


def test_every_name_has_a_task():
    assert tuple(registry.TASKS) == get_args(TaskName)
    assert all(task.name == name for name, task in registry.TASKS.items())


@pytest.mark.parametrize("part", PARTS)
def test_a_task_that_lacks_a_part_is_refused_by_its_name(part):
    with pytest.raises(IncompleteTask, match=rf"^task 'image_classification' lacks {part}$"):
        registry.table([without(part)])


def test_a_toy_task_is_told_all_that_it_lacks():
    class Toy(Task):
        name = "image_classification"

        def score(self, outputs_NK, labels_N):
            return 1.0

    lacking = "primary, view_revision, agreement, answers, load, loss, quality"
    with pytest.raises(IncompleteTask, match=f"lacks {lacking}$"):
        registry.table([Toy])


def test_names_and_primary_metrics_are_those_that_exist():
    class Elsewhere(ImageClassification):
        name = "toy"

    class Bytes(ImageClassification):
        primary = "size_bytes"

    with pytest.raises(IncompleteTask, match=r"'toy': its name is not in compress\.tasks\.names"):
        registry.table([Elsewhere])
    with pytest.raises(
        IncompleteTask,
        match="that is 1 at best, got 'size_bytes', expected one",
    ):
        registry.table([Bytes])
    with pytest.raises(ValueError, match="two tasks have one name"):
        registry.table([ImageClassification, ImageClassification])


def test_a_task_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        registry.TASKS["image_classification"].name = "other"
