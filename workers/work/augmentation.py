"""How a trial varies its training images, with ``auto`` decided by them."""

from __future__ import annotations

from compress.tasks.images import Images
from compress.training import augmentation
from compress.values.schedule import Augment, Augmented
from featherweight.specs.protocol import Assignment


def done(assignment: Assignment, images: Images) -> Augmented:
    """What the trial's own training does: of the baseline, of the supernet, or its recovery."""
    return augmentation.settled(_asked(assignment), images)


def notes(assignment: Assignment, images: Images) -> tuple[str, ...]:
    """What a baseline says of the job: what was decided, and by what.

    Nothing where the job says itself what is to be done. Where the baseline was trained here in
    another way than candidates will be, both are said.
    """
    asked: dict[Augment, None] = dict.fromkeys((_asked(assignment), assignment.recovery.augment))
    decided = ("auto", "by_channels")
    return tuple(augmentation.explained(each, images) for each in asked if each in decided)


def _asked(assignment: Assignment) -> Augment:
    training = assignment.train or assignment.supernet_task
    return assignment.recovery.augment if training is None else training.augment
