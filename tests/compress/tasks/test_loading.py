import numpy as np
import pytest
import torch

from compress.network.families.network import build
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.tasks import loading
from compress.tasks.formats.holdout import hold_out
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification import augmentation
from compress.tasks.kinds.image_classification.augmentation import ImageView
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.training import batchnorm, inference
from compress.values.errors import InvalidData, Stopped
from tests.devices import DEVICE


def save(tmp_path, **arrays):
    np.savez_compressed(tmp_path / "data.npz", **arrays)
    return tmp_path / "data.npz"


def pixels(count=50, shape=(6, 5, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def network(images, seed=0):
    return Network(
        module=build(Residual(widths=(4, 6), depths=(1, 1)), in_channels=3, num_classes=5, seed=0),
        normalisation=Normalisation(scale=1 / 255, mean=(0.5,) * 3, std=(0.25,) * 3),
        input_shape=tuple(images.x_NCHW.shape[1:]),
        num_classes=5,
    )


def images(count=40, shape=(6, 5, 3)):
    x = torch.from_numpy(pixels(count, shape)).permute(0, 3, 1, 2).contiguous()
    return Images(x_NCHW=x, y_N=torch.arange(count) % 5)


def test_images_come_as_nchw_in_their_own_dtype(tmp_path):
    x = pixels()
    y = np.arange(50, dtype=np.uint8) % 5
    path = save(tmp_path, x_train=x, y_train=y, x_validation=x[:20], y_validation=y[:20])
    loaded = loading.load(path)
    assert loaded.input_shape == (3, 6, 5)
    assert loaded.test is None
    assert loaded.train.x_NCHW.dtype == torch.uint8
    assert torch.equal(loaded.train.x_NCHW, torch.from_numpy(x).permute(0, 3, 1, 2))
    assert loaded.validation.y_N.tolist() == y[:20].tolist()


def test_grey_float_images_get_one_channel(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 8, 8)).astype(np.float32)
    loaded = loading.load(save(tmp_path, x_train=x, y_train=np.arange(20) % 2))
    assert loaded.input_shape == (1, 8, 8)
    assert loaded.train.x_NCHW.dtype == torch.float32


def test_the_held_out_images_are_a_fifth_and_always_the_same(tmp_path):
    path = save(tmp_path, x_train=pixels(), y_train=np.arange(50) % 5)
    first, second = loading.load(path), loading.load(path)
    assert (len(first.train), len(first.validation)) == (40, 10)
    assert torch.equal(first.validation.x_NCHW, second.validation.x_NCHW)
    together = torch.cat([first.train.x_NCHW, first.validation.x_NCHW]).flatten(1)
    assert len(together.unique(dim=0)) == 50


def test_a_broken_file_raises_before_anything_is_loaded(tmp_path):
    with pytest.raises(InvalidData, match="y_train"):
        loading.load(save(tmp_path, x_train=pixels()))


def test_holding_out_is_stratified_and_keeps_a_training_image_of_every_class():
    labels = np.repeat(np.arange(6), [100, 50, 5, 1, 1, 1])
    train, validation = hold_out(labels, 6)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert np.bincount(labels[validation], minlength=6).tolist()[:3] == [20, 10, 1]
    assert np.bincount(labels[train], minlength=6).min() == 1


def test_many_small_classes_still_give_a_fifth_together():
    labels = np.repeat(np.arange(300), 2)
    _, validation = hold_out(labels, 300)
    assert len(validation) == 120


def test_sample_statistics_are_those_of_numpy_and_survive_a_constant_channel():
    x = pixels(count=30)
    x[..., 2] = 7
    some = Images(x_NCHW=torch.from_numpy(x).permute(0, 3, 1, 2), y_N=torch.zeros(30).long())
    found = loading.sample_statistics(some)
    assert found.mean == pytest.approx(x.mean(axis=(0, 1, 2)))
    assert found.std[:2] == pytest.approx(x.std(axis=(0, 1, 2))[:2])
    assert found.std[2] == 1.0


def test_a_view_crops_the_padded_image_at_its_shift_and_mirrors_it():
    some = images(count=3, shape=(8, 8, 3))
    view = ImageView(torch.tensor([[0, 0], [1, 1], [2, 0]]), torch.tensor([False, False, True]), 1)
    seen = view.apply(some.x_NCHW)
    padded = np.pad(some.x_NCHW.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    assert np.array_equal(seen[0], padded[0, :, 0:8, 0:8])
    assert np.array_equal(seen[1], some.x_NCHW[1])
    mirrored = np.pad(some.x_NCHW.numpy()[2, :, :, ::-1], ((0, 0), (1, 1), (1, 1)))
    assert np.array_equal(seen[2], mirrored[:, 2:10, 0:8])


@pytest.mark.parametrize(("side", "padding"), [(4, 0), (8, 1), (16, 2), (28, 4), (32, 4), (224, 4)])
def test_small_images_move_less(side, padding):
    assert augmentation.padding_of(side) == padding
    generator = torch.Generator().manual_seed(0)
    view = augmentation.draw(500, (1, side, side + 3), generator, augmented="shift")
    assert (int(view.shift_N2.min()), int(view.shift_N2.max())) == (0, 2 * padding)


def test_equal_generators_draw_equal_views():
    one, same = (
        augmentation.draw(9, (3, 8, 8), torch.Generator().manual_seed(5), augmented="shift_flip")
        for _ in "ab"
    )
    assert torch.equal(one.shift_N2, same.shift_N2)
    assert torch.equal(one.flip_N, same.flip_N)


def test_preparation_is_the_normalisation_of_the_network():
    some = images()
    prepare = inference.preparation(network(some).normalisation, torch.device("cpu"))
    expected = (some.x_NCHW.float() / 255 - 0.5) / 0.25
    torch.testing.assert_close(prepare(some.x_NCHW), expected)


def test_logits_do_not_depend_on_the_batch_and_stop_when_asked():
    many = images(count=inference.BATCH_SIZE + 7)
    net = network(many)
    whole = inference.logits(net, many.x_NCHW, device=DEVICE)
    last = inference.logits(net, many.x_NCHW[-7:], device=DEVICE)
    torch.testing.assert_close(whole[-7:], last)
    with pytest.raises(Stopped):
        inference.logits(net, many.x_NCHW, device=DEVICE, should_stop=lambda: True)


def test_reestimated_statistics_are_the_mean_and_variance_of_the_activations():
    some = images(count=60, shape=(4, 4, 3))  # too small to be shifted; a mirror keeps statistics
    net = network(some)
    fresh = batchnorm.reestimate(
        net, some, device=DEVICE, augment="flip", task=IMAGE_CLASSIFICATION
    )
    prepare = inference.preparation(net.normalisation, torch.device("cpu"))
    stem = net.module.get_submodule("conv1")
    x = prepare(some.x_NCHW)
    both = torch.cat([stem(x), stem(x.flip(3))])
    found = fresh.module.get_submodule("bn1")
    torch.testing.assert_close(found.running_mean, both.mean((0, 2, 3)), atol=0.05, rtol=0)
    torch.testing.assert_close(found.running_var, both.var((0, 2, 3)), atol=0.05, rtol=0.1)
    assert float(net.module.get_submodule("bn1").running_mean.abs().sum()) == 0
    assert found.momentum == 0.1
    assert not any(module.training for module in fresh.module.modules())
