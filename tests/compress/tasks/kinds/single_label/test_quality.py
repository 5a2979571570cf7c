"""Metrics of a classifier's answers, against counts made by hand and by another way."""

import numpy as np
import pytest

from compress.tasks.kinds.single_label import quality
from compress.tasks.kinds.single_label.quality import ClassAnswers
from compress.tasks.names import TASK_METRICS
from compress.values.measurement import METRICS


def answers(logits, labels):
    return ClassAnswers(
        logits_NK=np.array(logits, dtype=np.float32), labels_N=np.array(labels, dtype=np.int64)
    )


def answering(classes, labels, *, of):
    return answers(np.eye(of)[classes], labels)


@pytest.fixture
def drawn():
    random = np.random.default_rng(3)
    # Few distinct values, so that many logits are equal; more images than are ranked at once.
    logits = random.integers(0, 6, (5000, 12))
    return answers(logits, random.integers(0, 12, 5000))


def test_f1_of_each_class_weighs_the_same():
    # Class 0: 8 of 8 right, 2 more answers: F1 16/18. Class 1: 1 of 3 right: F1 2/4.
    found = answering([0] * 10 + [1], [0] * 8 + [1] * 3, of=2)
    assert quality.accuracy(found) == pytest.approx(9 / 11)
    assert quality.macro_f1(found) == pytest.approx((16 / 18 + 2 / 4) / 2)


def test_a_class_that_nobody_has_or_answers_does_not_count():
    assert quality.macro_f1(answering([0, 1], [0, 1], of=7)) == 1.0
    # Class 2 is answered and never right, class 1 never answered: both have F1 0.
    assert quality.macro_f1(answering([0, 2], [0, 1], of=7)) == pytest.approx(1 / 3)


def test_macro_f1_is_the_harmonic_mean_of_precision_and_recall(drawn):
    scores = []
    for label in range(12):
        predicted, has = drawn.predicted == label, drawn.labels_N == label
        precision, recall = has[predicted].mean(), predicted[has].mean()
        scores.append(2 * precision * recall / (precision + recall))
    assert quality.macro_f1(drawn) == pytest.approx(np.mean(scores))


def test_recalls_are_of_the_examples_of_each_class_that_has_any():
    # Class 0: 6 of 8 right, class 1: 1 of 4, class 2 has no example but is answered.
    found = answering([0] * 6 + [1, 2] + [1, 0, 0, 2], [0] * 8 + [1] * 4, of=4)
    assert quality.balanced_accuracy(found) == pytest.approx((6 / 8 + 1 / 4) / 2)
    assert quality.least_recall(found) == pytest.approx(1 / 4)
    assert quality.accuracy(found) == pytest.approx(7 / 12)


def test_the_top_five_are_those_of_a_stable_sort(drawn):
    order = np.argsort(-drawn.logits_NK, axis=1, kind="stable")[:, :5]
    expected = (order == drawn.labels_N[:, None]).any(axis=1).mean()
    assert quality.top5_accuracy(drawn) == pytest.approx(expected)
    assert quality.accuracy(drawn) < expected < 1


def test_with_five_classes_every_label_is_among_the_top_five():
    assert quality.top5_accuracy(answering([0, 1, 2], [4, 4, 3], of=5)) == 1.0


def test_every_metric_of_the_answers_is_measured_and_nothing_else():
    assert set(quality.MEASURED) == set(TASK_METRICS["classification"])
    assert set(quality.MEASURED) <= set(METRICS)
