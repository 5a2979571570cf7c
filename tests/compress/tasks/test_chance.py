"""Whether a network answers better than somebody who never looks at an image."""

from __future__ import annotations

import random
from typing import Any

import pytest

from compress.tasks import chance
from compress.tasks.inspection import DatasetInfo
from compress.values.measurement import Measurement
from tests import factories

TEN = (36,) * 10


def data(*counts: int) -> DatasetInfo:
    splits = {"train": 80, "validation": sum(counts)}
    by_split = {"train": (8,) * len(counts), "validation": counts}
    return factories.dataset_info(num_classes=len(counts), splits=splits, class_counts=by_split)


def measured(accuracy: float, **changes: Any) -> Measurement:
    return factories.measurement(accuracy, **changes)


def by_class(*correct: int, images: int) -> Measurement:
    fields = {"class_correct": {"validation": correct}}
    return measured(sum(correct) / images, **fields)


def test_an_answer_that_is_always_the_same_class_is_named() -> None:
    counts = (30, 30, 30, 60, 30)
    said = chance.no_better(measured(60 / 180), "validation", data(*counts))
    assert said is not None
    assert said.startswith("no better than always answering class 3: 33.33% of 180 validation")
    assert "33.33% of them are of class 3" in said
    assert chance.no_better(measured(0.6), "validation", data(*counts)) is None


@pytest.mark.parametrize("accuracy", [0.0, 0.05, 0.1, 0.12])
def test_a_tenth_of_ten_classes_is_chance(accuracy: float) -> None:
    assert chance.at_chance(measured(accuracy), data(*TEN))


@pytest.mark.parametrize("accuracy", [0.2, 0.5, 1.0])
def test_twice_a_tenth_is_not(accuracy: float) -> None:
    assert chance.at_chance(measured(accuracy), data(*TEN)) is None


def test_of_one_class_every_accuracy_is_chance() -> None:
    assert chance.at_chance(measured(1.0), data(0, 20, 0))
    assert chance.at_chance(by_class(0, 20, 0, images=20), data(0, 20, 0))


def test_a_network_that_tells_a_rare_class_is_not_at_chance_though_its_accuracy_is() -> None:
    """19 of 20 images are of class 0, and 12 of 25 of the others are found."""
    good = by_class(463, 12, images=500)
    assert chance.no_better(good, "validation", data(475, 25))
    assert chance.at_chance(good, data(475, 25)) is None
    lazy = by_class(475, 0, images=500)
    assert chance.at_chance(lazy, data(475, 25))


def test_a_split_that_was_not_measured_says_nothing() -> None:
    assert chance.no_better(measured(0.1), "test", data(*TEN)) is None


def test_answers_that_never_look_are_found_out_and_those_that_do_are_left_alone() -> None:
    """200 networks each: guesses by a fixed taste, and the same mended on three images of ten."""
    random_ = random.Random(0)
    alarms = {0.0: 0, 0.3: 0}
    for knows in alarms:
        for _ in range(200):
            taste = [random_.random() for _ in TEN]
            correct = [
                sum(
                    random_.random() < knows or random_.choices(range(10), taste)[0] == label
                    for _ in range(images)
                )
                for label, images in enumerate(TEN)
            ]
            found = chance.at_chance(by_class(*correct, images=360), data(*TEN))
            alarms[knows] += found is not None
    assert alarms[0.0] >= 190
    assert alarms[0.3] == 0
