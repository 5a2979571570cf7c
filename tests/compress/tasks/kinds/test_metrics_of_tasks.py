"""Metrics of the tasks are those of other libraries, on made-up answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics

from compress.network.signature import Port, Signature
from compress.tasks import registry
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.sequence_labelling.entities import Entity, entities, has_scheme
from compress.tasks.kinds.sequence_labelling.task import SequenceLabelling
from compress.tasks.kinds.unlabelled import OutputPart, Unlabelled
from compress.tasks.names import TASK_METRICS
from compress.tasks.task import Batch
from compress.values.measurement import METRICS

RANDOM = np.random.default_rng(5)
N, K = 200, 4
LOGITS = RANDOM.normal(size=(N, K)).astype(np.float32)
LABELS = (RANDOM.random((N, K)) < 0.3).astype(np.uint8)
TRUTH = RANDOM.normal(size=(N, 2)).astype(np.float32)
SAID = (TRUTH + 0.5 * RANDOM.normal(size=(N, 2))).astype(np.float32)


def batch(labels: torch.Tensor) -> Batch:
    return Batch(rows_B=torch.arange(len(labels)), x_BCHW=torch.empty(0), labels_B=labels)


def test_multilabel_metrics_are_those_of_scikit_learn():
    found = registry.TASKS["multilabel"].quality(LOGITS, LABELS)
    said = LOGITS > 0
    assert found["micro_f1"] == pytest.approx(metrics.f1_score(LABELS, said, average="micro"))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(LABELS, said, average="macro"))
    assert found["exact_match"] == pytest.approx((said == LABELS).all(axis=1).mean())
    average = metrics.average_precision_score(LABELS, LOGITS, average="macro")
    assert found["mean_average_precision"] == pytest.approx(average)


def test_average_precision_of_equal_logits_does_not_depend_on_their_order():
    logits = np.round(LOGITS)
    found = registry.TASKS["multilabel"].quality(logits, LABELS)["mean_average_precision"]
    assert found == pytest.approx(metrics.average_precision_score(LABELS, logits, average="macro"))
    turned = registry.TASKS["multilabel"].quality(logits[::-1].copy(), LABELS[::-1].copy())
    assert turned["mean_average_precision"] == pytest.approx(found)


def test_regression_metrics_are_those_of_scikit_learn_and_scipy():
    found = registry.TASKS["regression"].quality(SAID, TRUTH)
    assert found["r2"] == pytest.approx(metrics.r2_score(TRUTH, SAID), abs=1e-6)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(TRUTH, SAID), abs=1e-6)
    assert found["mse"] == pytest.approx(metrics.mean_squared_error(TRUTH, SAID), abs=1e-6)
    tied, answers = np.round(TRUTH, 1), np.round(SAID, 1)
    ranked = [stats.spearmanr(tied[:, t], answers[:, t]).statistic for t in (0, 1)]
    found = registry.TASKS["regression"].quality(answers, tied)
    assert found["spearman"] == pytest.approx(np.mean(ranked))


def test_a_number_that_is_the_same_for_all_examples_does_not_divide_by_zero():
    same = np.ones((5, 1), np.float32)
    task = registry.TASKS["regression"]
    assert task.quality(same, same)["r2"] == 1.0
    assert task.quality(same + 1, same)["r2"] == 0.0
    assert task.quality(same, same)["spearman"] == 0.0


@pytest.mark.parametrize("name", ["multilabel", "regression", "sequence_labelling", "unlabelled"])
def test_every_task_measures_the_metrics_that_jobs_may_name(name):
    outputs = RANDOM.normal(size=(6, 3, K)).astype(np.float32)
    given = {
        "multilabel": (LOGITS, LABELS),
        "regression": (SAID, TRUTH),
        "sequence_labelling": (outputs, RANDOM.integers(0, K, (6, 3))),
        "unlabelled": (LOGITS, LOGITS),
    }
    found = registry.TASKS[name].quality(*given[name])
    assert tuple(found) == TASK_METRICS[name]
    assert all(np.isfinite(value) for value in found.values())


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("I-PER I-PER O", [("PER", 0, 2)]),
        ("B-PER I-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 3)]),
        ("B-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("S-LOC E-LOC O S-PER", [("LOC", 0, 1), ("LOC", 1, 2), ("PER", 3, 4)]),
        ("B-PER I-PER E-PER I-PER", [("PER", 0, 3), ("PER", 3, 4)]),
        ("O O", []),
        ("", []),
    ],
)
def test_entities_are_those_of_seqevals_default(tags, expected):
    """Worked out by hand by the rules of seqeval 1.2.2, ``get_entities``."""
    assert list(entities(tags.split())) == [Entity(*each) for each in expected]


def test_tags_without_a_scheme_are_entities_of_one_word():
    assert not has_scheme(("NOUN", "VERB", "O"))
    assert has_scheme(("O", "B-PER", "I-PER"))
    found = list(entities(["NOUN", "O", "VERB"], scheme=False))
    assert found == [Entity("NOUN", 0, 1), Entity("VERB", 2, 3)]


def test_padded_places_count_for_nothing():
    task = SequenceLabelling(names=("O", "B-X", "I-X"))
    tags = np.array([[1, 2, -100], [0, 1, 0]])
    logits = np.eye(3, dtype=np.float32)[np.where(tags < 0, 1, tags)]
    assert dict(task.quality(logits, tags)) == {"entity_f1": 1.0, "token_accuracy": 1.0}
    far = torch.from_numpy(logits) * 100
    assert float(task.loss(far, batch(torch.from_numpy(tags)))) < 1e-6


def test_a_tagger_that_finds_nothing_has_no_score():
    task = SequenceLabelling(names=("O", "B-X", "I-X"))
    tags = np.array([[0, 0, 0, 0, 1]])
    logits = np.zeros((1, 5, 3), np.float32)
    found = task.quality(logits, tags)
    assert (found["entity_f1"], found["token_accuracy"]) == (0.0, 0.8)


def parts() -> Unlabelled:
    ports = (
        Port(name="boxes", shape=(1, 2, 3), dynamic=(0,)),
        Port(name="embedding", shape=(1, 4), dynamic=(0,)),
        Port(name="classes", shape=(1, 5), dynamic=(0,), softmax=True),
    )
    signature = Signature(inputs=(Port(name="x", shape=(1, 3)),), outputs=ports)
    return Unlabelled.fitted(signature, {})


def test_outputs_are_compared_each_in_its_own_way():
    task = parts()
    assert [part.kind for part in task.parts] == ["relative", "cosine", "distribution"]
    own = RANDOM.normal(size=(50, 15)).astype(np.float32)
    same = task.quality(own, own)
    assert dict(same) == pytest.approx(
        {"agreement": 1.0, "cosine": 1.0, "relative_error": 0.0, "divergence": 0.0}, abs=1e-6
    )
    longer = own.copy()
    longer[:, 6:10] *= 3.0
    longer[:, 10:] += 7.0
    assert task.quality(longer, own)["agreement"] == pytest.approx(1.0)
    noisy = own.copy()
    noisy[:, :6] += 0.1 * own[:, :6].std()
    found = task.quality(noisy, own)
    assert found["relative_error"] == pytest.approx(0.1, rel=1e-3)
    assert found["agreement"] == pytest.approx(0.99, rel=1e-3)


def test_outputs_may_be_asked_to_be_compared_in_another_way():
    signature = Signature(
        inputs=(Port(name="x", shape=(1, 3)),),
        outputs=(Port(name="y", shape=(1, 4), dynamic=(0,)),),
    )
    [part] = Unlabelled.fitted(signature, {"y": "distribution"}).parts
    assert (part.kind, part.width, part.size) == ("distribution", 4, 4)


def test_what_outputs_have_lost_of_the_baselines_falls_to_nothing_when_they_are_equal():
    task = parts()
    own = torch.from_numpy(RANDOM.normal(size=(20, 15)).astype(np.float32))
    other = (own + 0.3).requires_grad_()
    lost = task.loss(other, batch(own))
    lost.backward()
    assert float(lost.detach()) > 0
    assert bool(torch.isfinite(other.grad).all())
    assert float(task.loss(own, batch(own))) == pytest.approx(0.0, abs=1e-6)


def test_errors_of_numbers_are_in_units_of_the_targets_own_deviation():
    data = Images(x_NCHW=torch.zeros(N, 1), y_N=torch.from_numpy(TRUTH) * 1000)
    both = ImageData(train=data, validation=data, test=None, num_classes=2)
    task = registry.TASKS["regression"].of(both)
    mean = data.y_N.mean(dim=0).expand(N, 2)
    assert float(task.loss(mean, batch(data.y_N))) == pytest.approx(0.5, rel=1e-5)
    assert task.agreement(SAID, SAID) == 1.0
    assert task.agreement(SAID + 0.01, SAID, tie=0.011) == 1.0


def test_the_first_metric_of_a_task_is_one_at_best():
    for name, task in registry.TASKS.items():
        assert task.primary == TASK_METRICS[name][0]
        assert METRICS[task.primary].is_bounded


@pytest.mark.parametrize("scale", [1e-3, 1.0, 7.3])
def test_no_figure_of_equal_answers_is_beyond_its_best(scale):
    """Rounding has left the cosine of equal directions above 1."""
    for seed in range(20):
        values = (np.random.default_rng(seed).normal(size=(7, 5)) * scale).astype(np.float32)
        found = Unlabelled.fitted(_embeds(), {}).quality(values, values)
        assert found["agreement"] <= 1.0
        assert found["cosine"] <= 1.0
        assert registry.TASKS["regression"].quality(values, values)["spearman"] <= 1.0


def _embeds() -> Signature:
    port = Port(name="y", shape=(1, 5), dynamic=(0,))
    return Signature(inputs=(Port(name="x", shape=(1, 3)),), outputs=(port,))


def test_rows_without_a_direction_lose_none():
    """A map that is 0 but in a few places, and rounding in the others."""
    task = Unlabelled((OutputPart(size=12, width=4, kind="cosine"),))
    own = np.zeros((2, 12), np.float32)
    own[:, :4] = [3, 4, 0, 0]
    other = own + np.float32(1e-7) * (-1.0) ** np.arange(12, dtype=np.float32)
    assert task.quality(other, own)["cosine"] == pytest.approx(1)
    other[0, 4:8] = [0, 0, 1, 0]  # here the other has a direction of its own
    assert task.quality(other, own)["cosine"] == pytest.approx(1 - 1 / 6, abs=1e-3)
    given = torch.from_numpy(other).requires_grad_()
    task.answers.divergence(torch.from_numpy(own), given).backward()
    assert given.grad is not None
    assert torch.isfinite(given.grad).all()
