from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
import zstandard
from torch import nn

from compress.evaluation import measure
from compress.export import writer
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.values.errors import InvalidData, NumericalError, Stopped
from tests.compress.applying import quantized


@pytest.fixture
def artifact(compressed, digits, tmp_path):
    changed = quantized(compressed, digits, weight_bits=4)
    return writer.write(changed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION)


@pytest.fixture
def linear(digits, tmp_path):
    """One float layer: an integer grid would clip an infinity away."""
    network = Network(
        module=nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
        normalisation=Normalisation(mean=(0.0,), std=(1.0,)),
        input_shape=(1, 8, 8),
        num_classes=10,
    )
    return writer.write(
        CompressedModel(network=network),
        tmp_path,
        data=digits,
        name="linear",
        task=IMAGE_CLASSIFICATION,
    )


def accuracy_from_outside(path, images):
    opened = onnxruntime.InferenceSession(str(path))
    logits = opened.run(None, {"input": images.x_NCHW.numpy().astype(np.float32)})[0]
    return (logits.argmax(axis=1) == images.y_N.numpy()).mean()


def test_accuracy_and_size_are_those_of_the_file(artifact, digits):
    measured = measure.run(
        artifact, digits, splits=("validation", "test"), task=IMAGE_CLASSIFICATION
    )
    assert set(measured.accuracy) == {"validation", "test"}
    for split, images in (("validation", digits.validation), ("test", digits.test)):
        assert measured.accuracy[split] == accuracy_from_outside(artifact.path, images)
    assert measured.size_bytes == len(artifact.path.read_bytes())
    assert measured.parameters == artifact.parameters
    assert measured.macs == artifact.macs
    assert measured.parity.agreement == artifact.agreement
    assert measured.parity.images == 256


def test_right_answers_are_counted_class_by_class(artifact, digits):
    measured = measure.run(
        artifact, digits, splits=("validation", "test", "train"), task=IMAGE_CLASSIFICATION
    )
    opened = onnxruntime.InferenceSession(str(artifact.path))
    assert set(measured.class_correct) == {"validation", "test"}
    for split, images in (("validation", digits.validation), ("test", digits.test)):
        logits = opened.run(None, {"input": images.x_NCHW.numpy().astype(np.float32)})[0]
        right = images.y_N.numpy()[logits.argmax(axis=1) == images.y_N.numpy()]
        assert measured.class_correct[split] == tuple((right == k).sum() for k in range(10))
        assert sum(measured.class_correct[split]) / len(images) == measured.accuracy[split]


def test_every_metric_of_the_answers_is_measured_on_every_split(artifact, digits):
    measured = measure.run(
        artifact, digits, splits=("validation", "test", "train"), task=IMAGE_CLASSIFICATION
    )
    assert set(measured.quality) == {"validation", "test", "train"}
    opened = onnxruntime.InferenceSession(str(artifact.path))
    logits = opened.run(None, {"input": digits.test.x_NCHW.numpy().astype(np.float32)})[0]
    best = np.argsort(-logits, axis=1)[:, :5]
    labels = digits.test.y_N.numpy()
    top5 = (best == labels[:, None]).any(axis=1).mean()
    scores = [
        2
        * ((best[:, 0] == k) & (labels == k)).sum()
        / ((best[:, 0] == k).sum() + (labels == k).sum())
        for k in range(10)
    ]
    assert measured.quality["test"]["top5_accuracy"] == pytest.approx(top5)
    assert measured.quality["test"]["macro_f1"] == pytest.approx(np.mean(scores))
    assert measured.known("macro_f1") == measured.quality["validation"]["macro_f1"]


def test_one_split_of_a_stored_file_is_answered_as_in_its_measurement(artifact, digits):
    measured = measure.run(
        artifact, digits, splits=("validation", "test"), task=IMAGE_CLASSIFICATION
    )
    found = measure.on_split(artifact.path, digits, "test", task=IMAGE_CLASSIFICATION)
    assert found.accuracy == measured.accuracy["test"]
    assert found.class_correct == measured.class_correct["test"]
    assert found.quality == measured.quality["test"]
    with pytest.raises(InvalidData, match="no test images"):
        measure.on_split(
            artifact.path, replace(digits, test=None), "test", task=IMAGE_CLASSIFICATION
        )


def test_of_very_many_classes_no_class_is_counted(artifact, digits):
    many = replace(digits, num_classes=1001)
    assert (
        measure.on_split(artifact.path, many, "test", task=IMAGE_CLASSIFICATION).class_correct == ()
    )


def test_accuracy_on_training_images_is_that_of_an_even_sample(artifact, digits):
    few = replace(digits, train=measure.sample(digits.train, most=90))
    measured = measure.run(artifact, few, splits=("validation", "train"), task=IMAGE_CLASSIFICATION)
    assert measured.accuracy["train"] == accuracy_from_outside(artifact.path, few.train)
    counted = Images(x_NCHW=torch.arange(10.0)[:, None, None, None], y_N=torch.arange(10))
    assert measure.sample(counted, most=4).y_N.tolist() == [0, 3, 6, 9]
    assert measure.sample(counted, most=4).x_NCHW.flatten().tolist() == [0, 3, 6, 9]
    assert measure.sample(counted, most=10) is counted


def test_the_bytes_of_a_download_are_those_of_the_file_compressed(artifact, digits):
    measured = measure.run(artifact, digits, splits=("validation",), task=IMAGE_CLASSIFICATION)
    content = artifact.path.read_bytes()
    packed = zstandard.ZstdCompressor(level=19).compress(content)
    assert zstandard.ZstdDecompressor().decompress(packed) == content
    assert measured.download_bytes == len(packed) < measured.size_bytes


def test_memory_and_load_time_are_measured_with_everything_else(artifact, digits):
    measured = measure.run(artifact, digits, splits=("validation",), task=IMAGE_CLASSIFICATION)
    assert measured.size_bytes < measured.peak_memory_bytes < 100e6
    assert 0 < measured.load_ms < 5000
    assert measured.notes == artifact.notes


def test_a_trial_that_is_stopped_is_not_measured_to_the_end(artifact, digits):
    with pytest.raises(Stopped, match="was measured"):
        measure.run(
            artifact,
            digits,
            splits=("validation",),
            should_stop=lambda: True,
            task=IMAGE_CLASSIFICATION,
        )


def test_latency_is_that_of_one_image_and_its_tail_is_not_shorter(artifact, digits):
    latency = measure.run(
        artifact, digits, splits=("validation",), threads=1, task=IMAGE_CLASSIFICATION
    ).latency
    assert (latency.threads, latency.batch) == (1, 1)
    assert 0 < latency.median_ms <= latency.p95_ms < 1000


def test_notes_of_the_file_and_times_of_the_trial_are_kept(artifact, digits):
    noted = replace(artifact, notes=("said once",))
    measured = measure.run(
        noted, digits, splits=("validation",), seconds={"train": 2.5}, task=IMAGE_CLASSIFICATION
    )
    assert measured.seconds["train"] == 2.5
    assert measured.seconds["measure"] > 0
    assert measured.notes == ("said once",)


def test_float32_images_are_taken_as_they_are(artifact, digits):
    as_float = replace(digits.test, x_NCHW=digits.test.x_NCHW.float())
    expected = measure.accuracy_of_file(artifact.path, digits.test, task=IMAGE_CLASSIFICATION)
    assert measure.accuracy_of_file(artifact.path, as_float, task=IMAGE_CLASSIFICATION) == expected


def test_a_split_that_is_not_there_is_refused(artifact, digits):
    with pytest.raises(InvalidData, match="no test images"):
        measure.run(
            artifact,
            replace(digits, test=None),
            splits=("validation", "test"),
            task=IMAGE_CLASSIFICATION,
        )


def test_an_answer_that_is_not_finite_is_no_measurement(linear, digits):
    x = digits.validation.x_NCHW.float()
    x[5] = torch.inf
    broken = replace(digits, validation=replace(digits.validation, x_NCHW=x))
    with pytest.raises(NumericalError, match="1 of 300 images"):
        measure.run(linear, broken, splits=("validation",), task=IMAGE_CLASSIFICATION)


def test_a_perturbed_copy_has_a_quality_of_its_own(artifact, digits):
    turned = replace(digits.validation, x_NCHW=digits.validation.x_NCHW.flip(-1))
    data = replace(digits, perturbed=turned)
    measured = measure.run(artifact, data, splits=("validation", "test"), task=IMAGE_CLASSIFICATION)
    found = measured.known("perturbed_quality")
    assert found == pytest.approx(accuracy_from_outside(artifact.path, turned))
    assert found < measured.accuracy["validation"]
    assert "perturbed_quality" not in measured.quality["test"]
