"""What raw values may be: uploads, statistics and normalisations say the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from compress.export import parity, writer
from compress.network.affine import affine
from compress.network.families.network import build
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.tasks import inspection, loading
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.training import inference
from compress.values import raw_values
from compress.values.errors import InvalidData

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=(40, 8, 8, 1)).astype(np.float32)
BYTES = RANDOM.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)


def images(x_NHWC):
    x = torch.from_numpy(np.ascontiguousarray(x_NHWC)).permute(0, 3, 1, 2).contiguous()
    return Images(x_NCHW=x, y_N=torch.arange(len(x)) % 2)


def inspected(tmp_path, x_NHWC):
    np.savez(tmp_path / "data.npz", x_train=x_NHWC, y_train=np.arange(len(x_NHWC)) % 2)
    return inspection.inspect_dataset(tmp_path / "data.npz")


def normalised(x_NHWC):
    some = images(x_NHWC)
    return inference.preparation(loading.sample_statistics(some), CPU)(some.x_NCHW).double()


GOOD = {
    "bytes": BYTES,
    "bytes around 200": (200 + BYTES // 8).astype(np.uint8),
    "negative": NORMAL - 50,
    "far": NORMAL + 1e6,
    "farther": NORMAL * 16 + 1e7,
    "large": NORMAL * 1e6,
    "huge": NORMAL * 2e29,
    "small": NORMAL * 1e-8,
    "tiny": NORMAL * 1e-28,
    "far and small": NORMAL * 1e-12 + 1e-8,
    "all at once": np.concatenate([NORMAL * 1e29, NORMAL[::-1] * 1e-28, NORMAL + 1e6], axis=3),
}


@pytest.mark.parametrize("name", GOOD)
def test_normalised_values_have_mean_0_and_deviation_1_in_any_unit(tmp_path, name):
    x = GOOD[name]
    assert not [text for text in inspected(tmp_path, x).warnings if "channel" in text]
    found = normalised(x.astype(np.float32))
    assert found.mean((0, 2, 3)).tolist() == pytest.approx([0] * x.shape[3], abs=1e-5)
    assert found.std((0, 2, 3), correction=0).tolist() == pytest.approx([1] * x.shape[3], abs=1e-5)


def test_a_large_mean_does_not_swallow_the_deviation():
    x = NORMAL.astype(np.float64) * 0.5 + 1e6
    found = loading.sample_statistics(images(x.astype(np.float32)))
    assert found.std[0] == pytest.approx(x.astype(np.float32).astype(np.float64).std(), rel=1e-9)
    assert found.mean[0] == pytest.approx(x.astype(np.float32).mean(dtype=np.float64), rel=1e-12)


BESIDE = {
    "saturated": (np.full_like(NORMAL, 255), 1.0),
    "zero": (np.zeros_like(NORMAL), 1.0),
    "0.1 everywhere": (np.full_like(NORMAL, 0.1), 1.0),
    "small": (np.full_like(NORMAL, 1e-40), 1.0),
    "huge": (np.full_like(NORMAL, 9e29), 9e29 * raw_values.RESOLVED),
    "not resolved": ((np.sign(NORMAL) * 0.01 + 1e6).astype(np.float32), 1.0),
    "rounding noise": ((0.1 + np.sign(NORMAL) * 1e-8).astype(np.float32), 1.0),
    "rounding noise far away": ((1e9 + NORMAL * 64).astype(np.float32), 1e9 * raw_values.RESOLVED),
}


@pytest.mark.parametrize("name", BESIDE)
def test_a_constant_channel_stays_calm_beside_others_and_the_upload_says_so(tmp_path, name):
    channel, deviation = BESIDE[name]
    x = np.concatenate([NORMAL, channel, -NORMAL], axis=3)
    found = loading.sample_statistics(images(x))
    assert found.std[1] == pytest.approx(deviation, rel=1e-4)
    assert found.std[0] == pytest.approx(float(NORMAL.std()), rel=1e-5)
    assert float(normalised(x)[:, 1].abs().max()) <= 1
    (warning,) = [text for text in inspected(tmp_path, x).warnings if "channel" in text]
    assert warning.startswith("channel 1 of x_train is ")
    assert warning.endswith("it says nothing to a network")


def far_digits(offset):
    return (np.arange(40 * 64).reshape(40, 8, 8, 1) % 17 + offset).astype(np.float32)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.full((40, 8, 8, 1), 7, np.uint8), "channel 0 of x_train is 7 everywhere: all images"),
        (np.full((40, 8, 8, 3), 255, np.uint8), "channel 2 of x_train is 255 everywhere: all"),
        (far_digits(1e8), "constant as far as float32 tells: its values, 100000000 to 100000016"),
        (far_digits(1e9), "1e.09 everywhere: all images look the same"),
        (NORMAL * 1e31, "up to .*e.31, expected at most 1e.30: divide all values by a constant"),
        (NORMAL * 1e-40, "differ by less than 1e-30: multiply all values by a constant"),
        (np.where(NORMAL > 2, np.nan, NORMAL), "x_train holds a NaN or an infinity"),
        (np.where(NORMAL > 2, np.float32(np.inf), NORMAL), "x_train holds a NaN or an infinity"),
    ],
)
def test_an_upload_with_values_that_cannot_be_used_is_refused_with_a_way_out(tmp_path, x, words):
    with pytest.raises(InvalidData, match=words):
        inspected(tmp_path, x)


@pytest.mark.parametrize("factor", [1e31, 1e-40])
def test_statistics_refuse_what_the_upload_refuses(factor):
    with pytest.raises(InvalidData, match="channel 0 of the training images holds values"):
        loading.sample_statistics(images(NORMAL * np.float32(factor)))


def test_every_channel_of_every_chunk_is_looked_at(tmp_path):
    # A chunk of a mebibyte ends within a pixel of 15 channels.
    x = RANDOM.normal(size=(6, 101, 113, 15)).astype(np.float32)
    x[..., 7] = 3
    x[5, 100, 112, 14] = 1e31
    with pytest.raises(InvalidData, match=r"channel 14 of x_train holds values up to 1e\+31"):
        inspected(tmp_path, x)
    x[5, 100, 112, 14] = 77
    found = inspected(tmp_path, x)
    assert found.value_range[1] == 77
    assert found.warnings[-1].startswith("channel 7 of x_train is 3 everywhere")
    assert len([text for text in found.warnings if "channel" in text]) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mean": (1e31,), "std": (1.0,)}, "less than or equal to 1000000"),
        ({"mean": (0.0,), "std": (1e31,)}, "less than or equal to 1000000"),
        ({"mean": (0.0,), "std": (0.0,)}, "greater than 0"),
        ({"mean": (float("nan"),), "std": (1.0,)}, "less than or equal to 1000000"),
        ({"mean": (0.0, 0.0), "std": (1.0, 1e-40)}, "scale / std of channel 1 .* rescale"),
        ({"scale": 1e-30, "mean": (0.0,), "std": (1e30,)}, "scale / std of channel 0 is 1e-60"),
        ({"scale": 1e-20, "mean": (1e20,), "std": (1.0,)}, "mean / scale of channel 0, 1e.40"),
    ],
)
def test_a_normalisation_that_float32_cannot_compute_is_refused_where_it_is_given(fields, words):
    with pytest.raises(ValidationError, match=words):
        Normalisation(**fields)


@pytest.mark.parametrize(
    "normalisation",
    [
        Normalisation(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        Normalisation(mean=(127.0, 3.0, 0.0), std=(58.0, 1.0, 1.0)),
    ],
)
def test_pixels_are_normalised_by_one_multiply_and_one_add_as_ever(normalisation):
    found = affine(normalisation)
    assert not found.has_shift
    mean, std = (
        torch.tensor(v, dtype=torch.float64) for v in (normalisation.mean, normalisation.std)
    )
    assert torch.equal(found.factor_C11.flatten(), (normalisation.scale / std).float())
    assert torch.equal(found.offset_C11.flatten(), (-mean / std).float())


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_values_far_from_zero_keep_the_precision_that_they_come_with(scale):
    # A mean between two numbers of float32, as people write it down.
    given = Normalisation(scale=scale, mean=(1_000_000.03 * scale, 0.5), std=(0.25 * scale, 2.0))
    x = torch.tensor(1_000_000 + np.arange(-8, 8) / 16, dtype=torch.float32)
    x_NCHW = torch.stack([x, torch.linspace(-4, 4, 16)]).reshape(1, 2, 4, 4)
    mean, std = (torch.tensor(v, dtype=torch.float64) for v in (given.mean, given.std))
    exact = (x_NCHW.double() * scale - mean[:, None, None]) / std[:, None, None]
    found = inference.preparation(given, CPU)(x_NCHW)
    torch.testing.assert_close(found.double(), exact, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 300.0, 1e6])
def test_the_file_answers_like_the_network_on_values_far_from_zero(tmp_path, offset):
    some = images(np.repeat(NORMAL, 3, axis=3) * np.float32(0.5) + np.float32(offset))
    network = Network(
        module=build(Residual(widths=(4, 8), depths=(1, 1)), in_channels=3, num_classes=2, seed=0),
        normalisation=loading.sample_statistics(some),
        input_shape=(3, 8, 8),
        num_classes=2,
    )
    network = replace(network, module=network.module.eval())
    file = writer.write(
        CompressedModel(network=network),
        tmp_path,
        data=ImageData(train=some, validation=some, test=None, num_classes=2),
        task=IMAGE_CLASSIFICATION,
    )
    spread = float(np.ptp(parity.torch_logits(network, some.x_NCHW)))
    assert file.max_abs_error < 1e-5 * spread
