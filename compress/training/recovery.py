"""Decide who teaches in a recovery, and whether the recovery was worth it."""

from __future__ import annotations

import torch

from compress.network.network import Network
from compress.tasks.images import Images
from compress.tasks.task import Task
from compress.training import loop
from compress.training.distillation.settings import Teaching
from compress.training.distillation.teacher import TeacherLogits
from compress.values.errors import InvalidCandidate

_MOST_IMAGES = 2_000
_SEED = 20_260_104
"""Constant: every trial of every job is judged on the same images."""


def teacher_of(
    config: Teaching | None,
    *,
    baseline: TeacherLogits | None,
    uploaded: TeacherLogits | None,
) -> TeacherLogits | None:
    """Return the teacher that a config asks for; None if it learns from nobody or from itself.

    Raises InvalidCandidate if that teacher does not exist.
    """
    if config is None or not config.has_effect or config.teacher == "self":
        return None
    found = baseline if config.teacher == "baseline" else uploaded
    if found is None:
        raise InvalidCandidate(
            f"distillation: teacher={config.teacher!r} needs "
            f"{'the baseline' if config.teacher == 'baseline' else 'an uploaded model'} as its "
            "teacher, there is none: give the job one, or use teacher='self'"
        )
    return found


def best_of(
    before: Network, after: Network, validation: Images, device: torch.device, *, task: Task
) -> tuple[Network, str | None]:
    """Return the better of the two on up to 2,000 validation images; the trained one on a tie.

    If the network from before the recovery is better, a note says so. Costs two passes over these
    images.
    """
    sample = _sample(validation)
    was, became = (loop.evaluate(network, sample, device, task=task) for network in (before, after))
    if became >= was:
        return after, None
    note = (
        f"recovery: dropped, it took the quality from {was:.4f} to {became:.4f} "
        f"on {len(sample)} validation images"
    )
    return before, note


def _sample(images: Images) -> Images:
    if len(images) <= _MOST_IMAGES:
        return images
    generator = torch.Generator().manual_seed(_SEED)
    rows_B = torch.randperm(len(images), generator=generator)[:_MOST_IMAGES]
    return Images(x_NCHW=images.x_NCHW[rows_B], y_N=images.y_N[rows_B])
