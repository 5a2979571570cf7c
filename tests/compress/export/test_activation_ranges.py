"""8-bit files of networks whose calibration images hold outliers; validation is clean."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from compress import pipeline
from compress.evaluation import measure
from compress.export import activation_ranges, writer
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.tasks import loading as statistics
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.training import loop
from compress.training.loop import TrainingPlan
from compress.values.errors import ExportParityError
from tests.compress.applying import context_of, quantized, untrained
from tests.devices import DEVICE

# Kernels that cannot saturate, whatever the processor.
USUAL = {"reduced_range": True}


class Dense(nn.Module):
    """Every layer reads all that came before it."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 9, 17)
        self.layers = nn.ModuleList(nn.Conv2d(width, 8, 3, padding=1) for width in widths)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in widths)
        self.head = nn.Linear(25, 10)

    def forward(self, x: Tensor) -> Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = torch.cat([x, functional.relu(norm(layer(x)))], 1)
        return self.head(functional.avg_pool2d(x, 4).amax((2, 3)))


def coloured(x_N1HW: Tensor) -> Tensor:
    x = x_N1HW.float()
    return torch.cat([x, 0.7 * x + 2, 16 - x], 1)


def of(digits: ImageData, change) -> ImageData:
    def split(images: Images) -> Images:
        return replace(images, x_NCHW=change(images.x_NCHW.float()))

    return ImageData(
        train=split(digits.train), validation=split(digits.validation), test=None, num_classes=10
    )


def trained_on(data: ImageData, *, epochs=4) -> Network:
    context = context_of(data)
    fresh = untrained(Residual(widths=(8, 16), depths=(1, 1)), context)
    return pipeline.train_baseline(fresh, epochs=epochs, context=context)


@pytest.fixture(scope="module")
def grey(digits):
    found = of(digits, lambda x: x)
    return found, trained_on(found)


@pytest.fixture(scope="module")
def colour(digits):
    found = of(digits, coloured)
    return found, trained_on(found)


@pytest.fixture(scope="module")
def dense(digits):
    found = of(digits, lambda x: x)
    torch.manual_seed(0)
    start = Network(
        module=Dense(),
        normalisation=statistics.sample_statistics(found.train),
        input_shape=(1, 8, 8),
        num_classes=10,
    )
    plan = TrainingPlan(epochs=8, seed=0, batch_size=64, learning_rate=0.1)
    return found, loop.fit(start, found.train, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)[0]


def with_outliers(data: ImageData, spoil) -> ImageData:
    x_NCHW = data.train.x_NCHW.clone()
    spoil(x_NCHW)
    return replace(data, train=replace(data.train, x_NCHW=x_NCHW))


def written(network, data, folder, **config):
    changed = quantized(CompressedModel(network=network), data, **USUAL | config)
    return writer.write(changed, folder, data=data, task=IMAGE_CLASSIFICATION)


def accuracy(artifact, data):
    return measure.accuracy_of_file(artifact.path, data.validation, task=IMAGE_CLASSIFICATION)


def in_float(network, data, folder):
    changed = quantized(CompressedModel(network=network), data, weight_bits=16, activations="float")
    return accuracy(
        writer.write(changed, folder, data=data, name="half", task=IMAGE_CLASSIFICATION), data
    )


def hot_pixel(height, every=50, channels=slice(None)):
    def spoil(x_NCHW: Tensor) -> None:
        x_NCHW[::every, channels, 3, 3] = height

    return spoil


def hot_channel(x_NCHW: Tensor) -> None:
    x_NCHW[::50, 0] = 4000.0


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("grey", hot_pixel(4000.0)),
        ("grey", hot_pixel(-4000.0)),
        ("grey", hot_pixel(400.0)),
        ("grey", hot_pixel(4000.0, every=20)),
        ("colour", hot_pixel(4000.0)),
        ("colour", hot_pixel(4000.0, channels=0)),
        ("colour", hot_channel),
        ("dense", hot_pixel(4000.0)),
    ],
    ids=["hot", "cold", "warm", "more", "colour", "one colour", "channel", "dense"],
)
def test_outliers_of_calibration_images_cost_an_8_bit_file_nothing(kind, spoil, request, tmp_path):
    data, network = request.getfixturevalue(kind)
    spoilt = with_outliers(data, spoil)
    artifact = written(network, spoilt, tmp_path)
    assert artifact.activation_observer == "mse"
    assert accuracy(artifact, data) > in_float(network, spoilt, tmp_path) - 0.02


def test_values_with_an_offset_are_no_outliers(digits, tmp_path):
    data = of(digits, lambda x: x + 300)
    network = trained_on(data)
    spoilt = with_outliers(data, hot_pixel(9000.0))
    float_accuracy = in_float(network, data, tmp_path)
    assert accuracy(written(network, data, tmp_path), data) > float_accuracy - 0.02
    assert accuracy(written(network, spoilt, tmp_path), data) > float_accuracy - 0.02


def test_a_channel_that_is_saturated_in_every_image_changes_nothing(digits, tmp_path):
    def saturated(x):
        x = coloured(x)
        x[:, 1] = 255.0
        x[:, 1, 0, 0] = 254.0
        return x

    data = of(digits, saturated)
    network = trained_on(data)
    assert (
        accuracy(written(network, data, tmp_path), data) > in_float(network, data, tmp_path) - 0.02
    )


@pytest.mark.parametrize("asked", ["minmax", "percentile"])
def test_another_observer_is_taken_where_answers_are_unlike_the_float_ones(grey, tmp_path, asked):
    data, network = grey
    spoilt = with_outliers(data, hot_pixel(4000.0))
    artifact = written(network, spoilt, tmp_path, activation_observer=asked)
    assert artifact.activation_observer == "mse"
    assert f"activation_observer is mse instead of {asked}: by it they agreed on" in " ".join(
        artifact.notes
    )
    assert accuracy(artifact, data) > in_float(network, spoilt, tmp_path) - 0.02
    measured = measure.run(artifact, data, splits=("validation",), task=IMAGE_CLASSIFICATION)
    assert measured.activation_observer == "mse"


@pytest.mark.parametrize("asked", ["minmax", "percentile", "mse"])
def test_the_observer_asked_for_stays_where_it_is_good_enough(grey, tmp_path, asked):
    data, network = grey
    artifact = written(network, data, tmp_path, activation_observer=asked)
    assert artifact.activation_observer == asked
    assert not [note for note in artifact.notes if "activation_observer" in note]


def test_float_activations_have_no_observer(grey, tmp_path):
    data, network = grey
    assert written(network, data, tmp_path, activations="float").activation_observer is None


@pytest.fixture(scope="module")
def shipped(grey):
    """Writes the grey network with ranges of its clean images, or of spoilt ones."""
    data, network = grey
    changed = quantized(CompressedModel(network=network), data, **USUAL)
    spoilt = with_outliers(data, hot_pixel(4000.0, every=2))
    return changed, data, spoilt


def test_a_file_that_nothing_brings_nearer_says_so(shipped, tmp_path):
    changed, _, spoilt = shipped
    # Half of the images are outliers: they are what is usual.
    artifact = writer.write(changed, tmp_path, data=spoilt, task=IMAGE_CLASSIFICATION)
    said = "no activation_observer does better than mse"
    found = [note for note in artifact.notes if said in note]
    agreed = float(" ".join(artifact.notes).split("agree on ")[1].split("%")[0])
    assert bool(found) == (agreed < 100 * activation_ranges.ENOUGH)


def test_an_observer_whose_file_fails_its_gate_is_passed_over(grey, tmp_path, monkeypatch):
    data, network = grey
    x_NCHW = data.validation.x_NCHW[:64]
    artifact = written(network, data, tmp_path)
    import onnx

    good = onnx.load(artifact.path)
    reference = measure.runtime.answers(measure.runtime.session(artifact.path), x_NCHW)

    def write(observer, reduced):
        assert not reduced
        if observer != "percentile":
            raise ExportParityError(f"{observer} fails")
        return good

    chosen = activation_ranges.choose(
        write,
        asked="mse",
        reducible=False,
        reference_NK=reference,
        x_NCHW=x_NCHW,
        task=IMAGE_CLASSIFICATION,
    )
    assert chosen.observer == "percentile"
    assert "no file passed its gate (mse fails)" in chosen.notes[-1]
    with pytest.raises(ExportParityError, match="minmax fails"):
        activation_ranges.choose(
            lambda observer, reduced: write("minmax" if observer == "minmax" else "mse", reduced),
            asked="minmax",
            reducible=False,
            reference_NK=reference,
            x_NCHW=x_NCHW,
            task=IMAGE_CLASSIFICATION,
        )
