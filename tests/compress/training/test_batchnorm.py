"""Statistics of BatchNorm are taken over images as the network has seen them in its training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from compress import pipeline
from compress.network.network import Network
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.sparsity.config import Sparsity
from compress.training import batchnorm, inference
from compress.training.batchnorm import StatisticsView
from compress.training.context import TrialContext
from tests.devices import DEVICE

USUAL = StatisticsView(augmented="shift")
WAYS = (USUAL, StatisticsView(augmented="none"), StatisticsView(augmented="shift", black=True))


@pytest.fixture(scope="module")
def bright(digits: ImageData) -> ImageData:
    """Digits on a grey background: black is another colour than that of the padding's mean."""

    def changed(images: Images) -> Images:
        return replace(images, x_NCHW=images.x_NCHW.float() * 4 + 100)

    return replace(
        digits, train=changed(digits.train), validation=changed(digits.validation), test=None
    )


def having_seen(network: Network, data: ImageData, seen: StatisticsView) -> Network:
    """The network with the statistics that it would have if it had been trained so."""
    found = batchnorm._averaged(
        network, data.train, seen, task=IMAGE_CLASSIFICATION, device=DEVICE, most=1024
    )
    return replace(found, normalisation=network.normalisation)


def states(network: Network) -> list[torch.Tensor]:
    return list(network.module.state_dict().values())


@pytest.fixture(scope="module")
def own(trained: Network, bright: ImageData) -> Network:
    norm = trained.normalisation
    shifted = norm.model_copy(
        update={
            "mean": tuple(4 * mean + 100 for mean in norm.mean),
            "std": tuple(4 * std for std in norm.std),
        }
    )
    return replace(trained, normalisation=shifted)


@pytest.mark.parametrize("seen", WAYS)
def test_the_way_is_known_by_the_statistics(
    seen: StatisticsView, own: Network, bright: ImageData
) -> None:
    network = having_seen(own, bright, seen)
    assert (
        batchnorm.seen_by(network, bright.train, USUAL, device=DEVICE, task=IMAGE_CLASSIFICATION)
        == seen
    )


@pytest.mark.parametrize("seen", WAYS)
def test_a_network_made_from_it_is_measured_the_same_way(
    seen: StatisticsView, own: Network, bright: ImageData
) -> None:
    network = having_seen(own, bright, seen)
    again = batchnorm.reestimate(
        network, bright.train, device=DEVICE, like=network, task=IMAGE_CLASSIFICATION
    )
    for mine, other in zip(states(network), states(again), strict=True):
        torch.testing.assert_close(mine, other)


def test_statistics_of_no_way_leave_the_usual_one(own: Network, bright: ImageData) -> None:
    fresh = having_seen(own, bright, USUAL)
    for part in fresh.module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.reset_running_stats()
    assert (
        batchnorm.seen_by(fresh, bright.train, USUAL, device=DEVICE, task=IMAGE_CLASSIFICATION)
        == USUAL
    )


def test_a_network_without_statistics_leaves_the_usual_one(own: Network, bright: ImageData) -> None:
    plain = replace(own, module=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)))
    assert (
        batchnorm.seen_by(plain, bright.train, USUAL, device=DEVICE, task=IMAGE_CLASSIFICATION)
        == USUAL
    )


def test_a_candidate_keeps_the_accuracy_that_statistics_of_other_images_would_cost(
    own: Network, bright: ImageData
) -> None:
    network = having_seen(own, bright, WAYS[2])
    context = TrialContext(data=bright, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)
    made = pipeline.start(network, Candidate(steps=(Sparsity(sparsity=0.01),)), context)
    mine, other = (
        inference.logits(each, bright.validation.x_NCHW, device=DEVICE)
        for each in (network, made.network)
    )
    assert (mine.argmax(1) == other.argmax(1)).float().mean() > 0.99
