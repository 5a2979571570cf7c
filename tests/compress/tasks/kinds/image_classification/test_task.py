"""What image classification learns from and is judged by."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION as TASK
from compress.tasks.names import TASK_METRICS
from compress.tasks.task import Batch

LOGITS = np.array([[2, 1, 0], [0, 3, 3], [5, 0, 5], [1, 2, 4]], dtype=np.float32)
LABELS = np.array([0, 2, 2, 2])


def test_the_loss_is_the_mean_cross_entropy_of_the_labels():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    labels = torch.tensor([0, 1])
    batch = Batch(rows_B=torch.arange(2), x_BCHW=torch.zeros(2, 1, 4, 4), labels_B=labels)
    expected = -(math.log(0.5) + math.log(0.8)) / 2
    assert float(TASK.loss(logits, batch)) == pytest.approx(expected)


def test_the_score_is_the_primary_metric_of_all_that_are_measured():
    measured = TASK.quality(LOGITS, LABELS)
    assert set(measured) == set(TASK_METRICS["image_classification"])
    # Of equal logits the first answers: images 1 and 2 are wrong.
    assert measured["accuracy"] == 0.5
    assert TASK.score(torch.from_numpy(LOGITS), torch.from_numpy(LABELS)) == 0.5
    assert TASK.score(torch.from_numpy(LOGITS), torch.full((4,), -1)) == 0.0
    assert TASK.class_correct(LOGITS, LABELS) == (1, 0, 1)


def test_answers_agree_exactly_or_up_to_a_tie_of_the_reference():
    answers = np.array([[9, 0, 0], [0, 0, 9], [0, 9, 0], [0, 9, 0]], dtype=np.float32)
    assert TASK.agreement(answers, LOGITS) == 0.25
    assert TASK.agreement(answers, LOGITS, tie=0.0) == 0.5
    assert TASK.agreement(answers, LOGITS, tie=2.0) == 0.75
    assert TASK.agreement(answers, LOGITS, tie=np.array([0.0, 0, 5, 2])) == 1.0


def test_views_are_drawn_for_a_split_and_taken_by_its_batches():
    x = torch.arange(6 * 64, dtype=torch.float32).reshape(6, 1, 8, 8)
    view = TASK.augment(x, torch.Generator().manual_seed(3), augmented="shift_flip")
    assert view is not None
    rows = torch.tensor([4, 1])
    assert torch.equal(view.take(rows).apply(x[rows]), view.apply(x)[rows])
    assert TASK.augment(x, torch.Generator(), augmented="none") is None
