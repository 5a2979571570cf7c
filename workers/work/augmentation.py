"""Decide how a trial varies its training images; ``auto`` is decided by the images."""

from __future__ import annotations

from compress.tasks.images import Images
from compress.tasks.task import Task
from compress.values.schedule import Augment, Augmented
from featherweight.specs.protocol import Assignment


def done(assignment: Assignment, images: Images, task: Task) -> Augmented:
    """Return what the training of the trial does: of the baseline, supernet, or its recovery."""
    return task.decided(_asked(assignment), images)


def notes(assignment: Assignment, images: Images, task: Task) -> tuple[str, ...]:
    """Return notes of a baseline on what was decided for the job, and why.

    There are none if the job decides it itself. If the baseline was trained here in another way
    than candidates will be, both are noted.
    """
    asked: dict[Augment, None] = dict.fromkeys((_asked(assignment), assignment.recovery.augment))
    decided = ("auto", "by_channels")
    return tuple(task.explained(each, images) for each in asked if each in decided)


def _asked(assignment: Assignment) -> Augment:
    training = assignment.train or assignment.supernet_task
    return assignment.recovery.augment if training is None else training.augment
