"""Views of normalised images, and what ``auto`` decides from real and made ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from compress.network.families.network import build
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.tasks import loading, mirror_symmetry
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification import augmentation
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.training import batchnorm, inference, loop
from compress.training.loop import TrainingPlan
from tests.devices import DEVICE

CPU = torch.device("cpu")
SHARED = Path(__file__).parents[4].parent / "shared" / "data"


def network(images, *, widths=(8, 8)):
    channels = images.x_NCHW.shape[1]
    return Network(
        module=build(
            Residual(widths=widths, depths=(1, 1)), in_channels=channels, num_classes=10, seed=0
        ),
        normalisation=loading.sample_statistics(images),
        input_shape=tuple(images.x_NCHW.shape[1:]),
        num_classes=10,
    )


def changed(images, change):
    return replace(images, x_NCHW=change(images.x_NCHW))


def colour(x_NCHW):
    return x_NCHW.repeat(1, 3, 1, 1)


@pytest.fixture(scope="module")
def few(digits):
    return Images(x_NCHW=digits.train.x_NCHW[:256], y_N=digits.train.y_N[:256])


UNITS = {
    "kelvin": lambda x: x.float() + 300,
    "a sensor's offset": lambda x: x.float() + 1000,
    "a million": lambda x: x.float() + 1e6,
    "negative": lambda x: x.float() - 5000,
    "bytes around 200": lambda x: (x + 200).to(torch.uint8),
    "large": lambda x: x.float() * 1e6,
    "small": lambda x: x.float() * 1e-8,
    "small, far away": lambda x: x.float() * 1e-8 + 1e-4,
    "huge": lambda x: x.float() * 5e28,
    "tiny": lambda x: x.float() * 1e-29,
}


@pytest.mark.parametrize("unit", UNITS)
def test_a_view_shows_the_same_picture_whatever_its_values_are_measured_in(few, unit):
    other = changed(few, UNITS[unit])
    view = augmentation.draw(
        len(few), (1, 8, 8), torch.Generator().manual_seed(1), augmented="shift_flip"
    )
    own, same = (
        inference.preparation(loading.sample_statistics(images), CPU)(images.x_NCHW, view)
        for images in (few, other)
    )
    # Up to what float32 keeps of the values themselves: 16 grey values in 1/16 at a million.
    torch.testing.assert_close(same, own, atol=0.02, rtol=0)
    assert torch.equal(own == 0, same == 0) or unit == "small, far away"


def test_every_unit_trains_to_the_same_network(few):
    plan = TrainingPlan(epochs=2, seed=0, batch_size=64, augment="shift")
    losses = {
        name: loop.fit(network(images), images, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)[
            1
        ].loss
        for name, images in {
            "as they are": few,
            "offset": changed(few, lambda x: x.float() + 1000),
            "another offset in each colour": changed(
                few, lambda x: colour(x.float()) + torch.tensor([0.0, 300, -2e4])[:, None, None]
            ),
            "the same colours": changed(few, lambda x: colour(x.float())),
        }.items()
    }
    assert losses["offset"] == pytest.approx(losses["as they are"], rel=1e-3)
    of_colours = losses["another offset in each colour"]
    assert of_colours == pytest.approx(losses["the same colours"], rel=1e-3)


def test_batchnorm_statistics_do_not_depend_on_an_offset(few):
    far = changed(few, lambda x: x.float() + 1000)
    own, same = (
        batchnorm.reestimate(network(i), i, device=DEVICE, task=IMAGE_CLASSIFICATION).module
        for i in (few, far)
    )
    for name, value in own.state_dict().items():
        torch.testing.assert_close(same.state_dict()[name], value, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("augmented", "moves", "mirrors"),
    [
        ("none", False, False),
        ("shift", True, False),
        ("flip", False, True),
        ("shift_flip", True, True),
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_are_varied_as_asked_whatever_their_channels(augmented, moves, mirrors, channels):
    generator = torch.Generator().manual_seed(0)
    view = augmentation.draw(500, (channels, 16, 16), generator, augmented=augmented)
    assert (view is None) == (augmented == "none")
    if view is not None:
        assert bool((view.shift_N2 != view.padding).any()) == moves
        assert 0.4 < float(view.flip_N.float().mean()) < 0.6 if mirrors else not view.flip_N.any()


def test_a_plan_without_augmentation_sees_the_images_themselves(few):
    sizes = {}
    for augment in (False, "none", "shift"):
        plan = TrainingPlan(epochs=1, seed=0, batch_size=64, augment=augment)
        sizes[augment] = loop.fit(
            network(few), few, plan, device=DEVICE, task=IMAGE_CLASSIFICATION
        )[1].loss
    assert sizes[False] == sizes["none"] != sizes["shift"]


@pytest.mark.parametrize(("channels", "expected"), [(1, "shift"), (3, "shift_flip"), (4, "shift")])
def test_jobs_before_the_field_mirrored_by_channels(few, channels, expected):
    images = changed(few, lambda x: x.repeat(1, channels, 1, 1))
    assert augmentation.settled("by_channels", images) == expected
    assert augmentation.explained("by_channels", images) == (
        f"augmentation: by_channels -> {expected}: images have {channels} channels"
    )


@pytest.mark.parametrize("change", [lambda x: x, colour, lambda x: x.float() * 1e-8 + 1e-3])
def test_digits_are_not_mirrored_in_any_colour_or_unit(digits, change):
    images = changed(digits.train, change)
    found = images.mirror_symmetry
    assert found.plain > 0.9 > 0.6 > found.mirrored
    assert augmentation.settled("auto", images) == "shift"
    assert augmentation.explained("auto", images).startswith("augmentation: auto -> shift: a near")
    assert images.mirror_symmetry is found


def pictures(count, *, handed, seed=0, classes=4):
    """Noisy patterns, each its own mirror image; classes in ``handed`` are not."""
    random = np.random.default_rng(seed)
    patterns = random.normal(size=(classes, 3, 12, 12))
    patterns += patterns[..., ::-1].copy()
    for one in handed:
        patterns[one] = random.normal(size=(3, 12, 12)) * 2
    if len(handed) == 2:  # one is the mirror image of the other: left and right
        patterns[handed[1]] = patterns[handed[0]][..., ::-1]
    y = np.arange(count) % classes
    x = patterns[y] + random.normal(size=(count, 3, 12, 12))
    return Images(x_NCHW=torch.from_numpy(x).float(), y_N=torch.from_numpy(y))


@pytest.mark.parametrize("count", [10, 20, 80, 120, 300])
def test_a_few_digits_are_not_mirrored_either(digits, count):
    for first in range(0, 1200 - count, max(count, 60)):
        rows = slice(first, first + count)
        images = Images(x_NCHW=digits.train.x_NCHW[rows], y_N=digits.train.y_N[rows])
        assert augmentation.settled("auto", images) == "shift"


def test_images_that_are_their_own_mirror_images_are_mirrored():
    assert augmentation.settled("auto", pictures(400, handed=())) == "shift_flip"


@pytest.mark.parametrize("count", [300, 1200])
def test_two_signs_among_many_classes_are_enough_not_to_mirror(count):
    images = pictures(count, handed=(3, 4), classes=24)
    found = images.mirror_symmetry
    assert found.mirrored > 0.9 * found.plain  # the others would have been fine
    assert found.harmed in (3, 4)
    assert augmentation.settled("auto", images) == "shift"


def test_what_a_neighbour_cannot_tell_apart_is_not_mirrored():
    noise = Images(
        x_NCHW=torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
        y_N=torch.arange(300) % 5,
    )
    assert augmentation.settled("auto", noise) == "shift"
    assert "too little to decide by" in augmentation.explained("auto", noise)


def test_a_handful_of_images_one_class_and_a_constant_channel_decide_too():
    for images in (
        Images(x_NCHW=torch.rand(2, 1, 4, 5), y_N=torch.tensor([0, 1])),
        Images(x_NCHW=torch.rand(9, 2, 40, 70), y_N=torch.zeros(9).long()),
        Images(x_NCHW=torch.full((9, 1, 8, 8), 255, dtype=torch.uint8), y_N=torch.arange(9) % 2),
    ):
        assert augmentation.settled("auto", images) == "shift"


def test_the_decision_does_not_depend_on_the_number_of_threads(few):
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(mirror_symmetry.measure(few.x_NCHW, few.y_N))
    torch.set_num_threads(1)
    assert found[0] == found[1]


@pytest.mark.skipif(not (SHARED / "cifar10").exists(), reason="CIFAR-10 is not on this machine")
def test_photographs_are_mirrored():
    image = pytest.importorskip("PIL.Image")
    sheet = np.asarray(image.open(SHARED / "cifar10" / "train_0.webp").convert("RGB"))
    x = sheet.reshape(100, 32, 100, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
    labels = np.load(SHARED / "cifar10" / "labels.npz")["y_train"][: len(x)]
    images = Images(
        x_NCHW=torch.from_numpy(x.copy()).permute(0, 3, 1, 2),
        y_N=torch.from_numpy(labels.astype(np.int64)),
    )
    assert augmentation.settled("auto", images) == "shift_flip"
