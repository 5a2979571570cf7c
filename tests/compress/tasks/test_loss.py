"""The loss of classes, plain and adjusted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from compress.tasks import loss, registry
from compress.tasks.images import ImageData, Images
from compress.tasks.task import Batch
from compress.values.errors import InvalidCandidate
from compress.values.schedule import PLAIN, LossSettings

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]])
LABELS = torch.tensor([0, 0, 2])


def test_plain_is_the_mean_cross_entropy_to_the_bit():
    found = loss.cross_entropy(LOGITS, LABELS, settings=PLAIN, counts=(2, 0, 1))
    assert torch.equal(found, functional.cross_entropy(LOGITS, LABELS))


def test_a_margin_is_taken_off_the_right_logit():
    found = loss.cross_entropy(LOGITS, LABELS, settings=LossSettings(margin=1.5))
    moved = LOGITS.clone()
    moved[[0, 1, 2], LABELS] -= 1.5
    assert float(found) == pytest.approx(float(functional.cross_entropy(moved, LABELS)))


def test_a_temperature_divides_the_logits():
    found = loss.cross_entropy(LOGITS, LABELS, settings=LossSettings(temperature=2.0))
    assert float(found) == pytest.approx(float(functional.cross_entropy(LOGITS / 2, LABELS)))


def test_rare_classes_count_as_if_all_were_equally_frequent():
    weights = loss.class_weights((90, 10), 1.0)
    assert (weights * torch.tensor([90.0, 10.0])).tolist() == pytest.approx([50.0, 50.0])
    assert loss.class_weights((90, 10), 0.0).tolist() == [1.0, 1.0]
    assert bool(torch.isfinite(loss.class_weights((5, 0), 1.0)).all())


def test_rows_that_do_not_count_have_no_margin_either():
    labels = torch.tensor([0, -100, 2])
    settings = LossSettings(margin=1.0, label_smoothing=0.1)
    found = loss.cross_entropy(LOGITS, labels, settings=settings)
    kept = loss.cross_entropy(LOGITS[[0, 2]], labels[[0, 2]], settings=settings)
    assert float(found) == pytest.approx(float(kept))


def test_tasks_of_classes_take_counts_from_their_training_data_and_others_refuse():
    images = Images(x_NCHW=torch.zeros(4, 2), y_N=torch.tensor([0, 1, 1, 1]))
    data = ImageData(train=images, validation=images, test=None, num_classes=3)
    task = registry.TASKS["text_matching"].of(data)
    assert task.counts == (1, 3, 0)
    settings = LossSettings(class_weight=1.0)
    batch = Batch(rows_B=torch.arange(3), x_BCHW=torch.empty(0), labels_B=LABELS)
    found = task.adjusted(settings).loss(LOGITS, batch)
    wanted = loss.cross_entropy(LOGITS, LABELS, settings=settings, counts=(1, 3, 0))
    assert torch.equal(found, wanted)
    assert dataclasses.replace(task.adjusted(settings), settings=PLAIN) == task
    with pytest.raises(InvalidCandidate, match="loss of regression has no margin"):
        registry.TASKS["regression"].adjusted(settings)
    assert registry.TASKS["regression"].adjusted(PLAIN) is registry.TASKS["regression"]


def test_calibration_error_of_sure_answers_is_the_share_that_is_wrong():
    logits = np.array([[50.0, 0.0]] * 10, np.float32)
    labels = np.array([0] * 7 + [1] * 3)
    found = registry.TASKS["classification"].quality(logits, labels)["calibration_error"]
    assert found == pytest.approx(0.3, abs=1e-6)
    unsure = registry.TASKS["classification"].quality(logits * 0, np.array([0, 1] * 5))
    assert unsure["calibration_error"] == pytest.approx(0.0, abs=1e-6)
