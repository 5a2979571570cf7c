"""BatchNorm cannot measure one value per channel: said in words, before anything is trained."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from compress import pipeline
from compress.network.network import Network
from compress.tasks import loading
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.training import batchnorm, loop
from compress.training.context import TrialContext
from compress.training.loop import TrainingPlan
from compress.values.errors import InvalidData
from tests.devices import DEVICE


class Pooled(nn.Module):
    """A BatchNorm behind a global pool, or one that still sees a map."""

    def __init__(self, *, behind_pool: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm1d(8) if behind_pool else nn.BatchNorm2d(8)
        self.behind_pool = behind_pool
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        found = self.first(x)
        if self.behind_pool:
            return self.head(self.norm(found.mean((2, 3))))
        return self.head(self.norm(found).relu().mean((2, 3)))


def network(images, *, behind_pool):
    return Network(
        module=Pooled(behind_pool=behind_pool),
        normalisation=loading.sample_statistics(images),
        input_shape=(1, 8, 8),
        num_classes=10,
    )


def first(images, count):
    return Images(x_NCHW=images.x_NCHW[:count], y_N=images.y_N[:count])


PLAN = TrainingPlan(epochs=1, seed=0, batch_size=64, augment=False)


@pytest.mark.parametrize(("count", "batch_size"), [(1, 64), (3, 1)])
def test_one_image_per_batch_behind_a_pool_is_refused_in_words(digits, count, batch_size):
    few = first(digits.train, count)
    plan = replace(PLAN, batch_size=batch_size)
    with pytest.raises(InvalidData, match=r"norm is a BatchNorm .* at least 2 training images"):
        loop.fit(
            network(digits.train, behind_pool=True),
            few,
            plan,
            device=DEVICE,
            task=IMAGE_CLASSIFICATION,
        )


def test_statistics_of_one_image_behind_a_pool_are_refused_in_words(digits):
    few = first(digits.train, 1)
    with pytest.raises(InvalidData, match="at least 2 training images"):
        batchnorm.reestimate(
            network(digits.train, behind_pool=True), few, device=DEVICE, task=IMAGE_CLASSIFICATION
        )
    one = ImageData(train=few, validation=digits.validation, test=None, num_classes=10)
    shared = Candidate.model_validate({"steps": [{"technique": "weight_sharing"}]})
    with pytest.raises(InvalidData, match="at least 2 training images"):
        pipeline.start(
            network(digits.train, behind_pool=True),
            shared,
            TrialContext(data=one, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION),
        )


@pytest.mark.parametrize(("count", "behind_pool"), [(1, False), (2, True), (65, True), (257, True)])
def test_what_can_be_measured_is_trained_and_measured(digits, count, behind_pool):
    few, start = first(digits.train, count), network(digits.train, behind_pool=behind_pool)
    trained, _ = loop.fit(start, few, PLAN, device=DEVICE, task=IMAGE_CLASSIFICATION)
    measured = batchnorm.reestimate(trained, few, device=DEVICE, task=IMAGE_CLASSIFICATION)
    assert bool(torch.isfinite(measured.module.norm.running_var).all())
