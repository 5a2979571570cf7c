import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.network.families import layout
from compress.network.sources import inspection as weights_inspection
from compress.tasks import inspection
from compress.tasks.formats import npz
from compress.values.errors import InvalidData, InvalidWeights
from tests.compress.network.sources import hostile_weights
from tests.compress.network.sources.hostile_weights import ARCHITECTURE, SIZE, tensors


def arrays(count=40, classes=4, **changes):
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (count, 6, 5, 3), dtype=np.uint8)
    return {"x_train": x, "y_train": np.arange(count) % classes} | changes


def npz_bytes(contents, save=np.savez_compressed):
    buffer = io.BytesIO()
    save(buffer, **contents)
    return buffer.getvalue()


def inspect(tmp_path, data, **options):
    path = tmp_path / "data.npz"
    path.write_bytes(data)
    return inspection.inspect_dataset(path, **options)


def zip_bytes(members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def npy_header(descr="|u1", shape=(40, 6, 5, 3), fortran=False, text=None):
    header = text or repr({"descr": descr, "fortran_order": fortran, "shape": shape}) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("latin-1")


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_dataset_without_a_validation_split_is_described_as_it_will_be_used(tmp_path, save):
    info = inspect(tmp_path, npz_bytes(arrays(), save))
    assert info.input_shape == (3, 6, 5)
    assert info.held_out
    assert info.splits == {"train": 32, "validation": 8}
    assert info.class_counts == {"train": (8, 8, 8, 8), "validation": (2, 2, 2, 2)}
    assert info.num_classes == 4
    assert info.dtype == "uint8"


def test_given_splits_are_used_as_they_are(tmp_path):
    grey = np.linspace(-1, 1, 40 * 36, dtype=np.float32).reshape(40, 6, 6)
    given = {
        f"{axis}_{split}": value
        for split in ("train", "validation", "test")
        for axis, value in (("x", grey), ("y", np.arange(40, dtype=np.uint8) % 3))
    }
    info = inspect(tmp_path, npz_bytes(given))
    assert info.splits == {"train": 40, "validation": 40, "test": 40}
    assert not info.held_out
    assert (info.input_shape, info.value_range) == ((1, 6, 6), (-1.0, 1.0))


def test_imbalance_absent_classes_and_small_validation_splits_are_told(tmp_path):
    labels = np.zeros(40, np.int64)
    labels[:2] = 2
    told = " ".join(inspect(tmp_path, npz_bytes(arrays(y_train=labels))).warnings)
    assert "train has no image of class 1" in told
    assert "unbalanced" in told
    assert "validation has 8 images" in told


X = arrays()["x_train"]
BAD_ARRAYS = {
    "no labels": ({"x_train": X}, "'y_train' is missing"),
    "no training images": ({"x_test": X, "y_test": np.arange(40)}, "is missing"),
    "half a split": (arrays(x_test=X), "'y_test' is missing"),
    "unknown name": (arrays(x_extra=X), "unknown array 'x_extra.npy'"),
    "float64": (arrays(x_train=X.astype(float)), "dtype '<f8'"),
    "objects": (arrays(y_train=np.array([{}] * 40)), r"dtype '\|O'"),
    "records": (arrays(y_train=np.zeros(40, [("a", "i4")])), "plain array"),
    "channels first": (arrays(x_train=np.zeros((40, 4, 32, 32), np.uint8)), "channels .* got 32"),
    "colours first": (
        arrays(x_train=np.zeros((40, 3, 32, 32), np.uint8)),
        r"rows \(H\), got 3 in its shape \(40, 3, 32, 32\), which is read as \(N, H, W, C\)",
    ),
    "flat": (arrays(x_train=np.zeros((40, 64), np.uint8)), r"shape \(N, H, W\)"),
    "tiny": (arrays(x_train=np.zeros((40, 3, 3), np.uint8)), "4 to 1024 rows"),
    "one image": (arrays(count=1), "2 to 10000000 images"),
    "float labels": (arrays(y_train=np.zeros(40, np.float32)), "integers"),
    "label columns": (arrays(y_train=np.zeros((40, 1), int)), r"shape \(40,\)"),
    "too few labels": (arrays(y_train=np.arange(39)), r"shape \(40,\)"),
    "negative label": (arrays(y_train=np.arange(40) - 1), "from 0 to 9999, got -1"),
    "huge label": (arrays(y_train=np.full(40, 2**64 - 1, np.uint64)), "from 0 to 9999"),
    "one class": (arrays(y_train=np.zeros(40, int)), "at least 2 classes"),
    "nothing to hold out": (arrays(count=2, classes=2), "too few to hold out"),
    "new class in test": (arrays(x_test=X, y_test=np.arange(40)), "y_test holds class 39"),
    "other shape in test": (arrays(x_test=X[:, :5], y_test=np.arange(40) % 4), "share one image"),
    "fortran order": (arrays(x_train=np.asfortranarray(X)), "C order"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_are_no_dataset_are_refused_with_the_reason(tmp_path, case):
    contents, reason = BAD_ARRAYS[case]
    with pytest.raises(InvalidData, match=reason):
        inspect(tmp_path, npz_bytes(contents))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_float_images_must_be_finite_to_the_last_value(tmp_path, value):
    x = np.zeros((40, 100, 100), np.float32)
    x[-1, -1, -1] = value
    with pytest.raises(InvalidData, match="x_train holds a NaN or an infinity"):
        inspect(tmp_path, npz_bytes(arrays(x_train=x)))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    big = npy_header(shape=(3000, 32, 32, 1)) + bytes(3000 * 1024)
    bomb = zip_bytes([("x_train.npy", big), ("y_train.npy", npy_bytes(np.arange(3000) % 2))])
    assert len(bomb) < 100_000
    with pytest.raises(InvalidData, match="the limit is 1000000"):
        inspect(tmp_path, bomb, max_bytes=1_000_000)


def test_many_members_and_a_large_directory_are_refused(tmp_path):
    with pytest.raises(InvalidData, match="at most 16 arrays"):
        inspect(tmp_path, zip_bytes([(f"x_{n}.npy", b"") for n in range(17)]))
    long_names = [("x" * 60_000 + f"{n}.npy", b"") for n in range(20)]
    with pytest.raises(InvalidData, match="zip directory must not exceed"):
        inspect(tmp_path, zip_bytes(long_names))


HOSTILE_HEADERS = {
    "more than there is": (npy_header() + bytes(100), "which is 3600 bytes"),
    "less than there is": (npy_header() + bytes(5000), "which is 3600 bytes"),
    "astronomic shape": (npy_header(shape=(10**17,) * 4), "bytes, but the archive holds 0"),
    "code": (npy_header(text="__import__('os').abort()"), "plain array"),
    "deep nesting": (npy_header(text="(" * 60_000), "plain array"),
    "long digits": (npy_header(text="{'descr': '|u1', 'shape': (" + "1" * 60_000), "plain array"),
    "version 3": (b"\x93NUMPY\x03\x00\xff\xff\xff\xff", "version 1.0"),
    "pickle": (pickle.dumps({"a": 1}), "version 1.0"),
    "empty": (b"", "ends in the middle"),
    "header cut": (npy_header()[:20], "ends in the middle"),
}


@pytest.mark.parametrize("case", HOSTILE_HEADERS)
def test_headers_that_lie_are_refused(tmp_path, case):
    member, reason = HOSTILE_HEADERS[case]
    labels = npy_bytes(np.arange(40) % 4)
    with pytest.raises(InvalidData, match=reason):
        inspect(tmp_path, zip_bytes([("x_train.npy", member), ("y_train.npy", labels)]))


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickled_object_is_never_loaded(tmp_path):
    trace = tmp_path / "executed"
    objects = np.array([Bomb(str(trace))] * 40, dtype=object)
    with pytest.raises(InvalidData, match="dtype"):
        inspect(tmp_path, npz_bytes(arrays(x_train=objects)))
    assert not trace.exists()


def test_encrypted_exotic_and_repeated_members_are_refused(tmp_path):
    good = npz_bytes(arrays(), np.savez)
    locked = bytearray(good)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[good.index(signature) + offset] |= 1
    with pytest.raises(InvalidData, match="encrypted"):
        inspect(tmp_path, bytes(locked))
    members = [(f"{name}.npy", npy_bytes(value)) for name, value in arrays().items()]
    with pytest.raises(InvalidData, match="stored or deflated"):
        inspect(tmp_path, zip_bytes(members, zipfile.ZIP_LZMA))
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = zip_bytes([*members, members[0]])
    with pytest.raises(InvalidData, match="same name twice"):
        inspect(tmp_path, twice)


def test_a_changed_byte_of_data_is_caught_by_the_checksum(tmp_path):
    changed = bytearray(npz_bytes(arrays(), np.savez))
    changed[changed.index(b"\n") + 50] ^= 1
    with pytest.raises(InvalidData, match="CRC"):
        inspect(tmp_path, bytes(changed))


GOOD = npz_bytes(arrays(count=12), np.savez_compressed)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD) - 1))
def test_a_truncated_archive_is_refused(tmp_path_factory, length):
    with pytest.raises(InvalidData):
        inspect(tmp_path_factory.mktemp("cut"), GOOD[:length])


CAUTION = npz.Caution(most_ratio=200, seconds=60)


def test_a_small_file_that_unpacks_large_is_refused_and_honest_constants_are_not(tmp_path):
    images = 300_000
    y = np.arange(images) % 2
    x = np.zeros((images, 8, 8), np.uint8)
    x[0] = 1
    small = npz_bytes({"x_train": x[:1000], "y_train": y[:1000]})
    assert inspect(tmp_path, small, caution=CAUTION).splits["train"] == 800
    bomb = npz_bytes({"x_train": np.zeros((images, 32, 32), np.uint8), "y_train": y})
    assert len(bomb) < npz.FREELY_UNPACKED_BYTES / CAUTION.most_ratio
    with pytest.raises(InvalidData, match="unpacked, the limit is 268435456 for a file of this"):
        inspect(tmp_path, bomb, caution=CAUTION)
    # The same large arrays in a file that is no smaller than they are are welcome.
    assert images * 32 * 32 > npz.FREELY_UNPACKED_BYTES


def test_an_inspection_that_takes_too_long_ends(tmp_path):
    data = npz_bytes({"x_train": np.zeros((60_000, 8, 8), np.uint8), "y_train": [0] * 60_000})
    with pytest.raises(InvalidData, match="longer than 0 seconds"):
        inspect(tmp_path, data, caution=npz.Caution(most_ratio=200, seconds=0))


def test_a_header_that_is_too_long_is_not_matched(tmp_path):
    header = npy_header(text="{" + " " * 60_000 + "}")
    with pytest.raises(
        InvalidData, match="plain array, its header has 60002 bytes, more than 4096"
    ):
        inspect(tmp_path, zip_bytes([("x_train.npy", header), ("y_train.npy", header)]))


def test_weights_with_a_header_of_very_many_parts_are_refused_unread(tmp_path):
    header = b"[" + b"[]," * 100_000 + b"[]]"
    path = tmp_path / "weights.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(InvalidWeights, match="not JSON that describes at most 20000 tensors"):
        weights_inspection.inspect_weights(path, ARCHITECTURE)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused_as_data_and_as_weights(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("noise")
    with pytest.raises(InvalidData):
        inspect(folder, data)
    with pytest.raises(InvalidWeights):
        weights_inspection.inspect_weights(folder / "data.npz", ARCHITECTURE)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8))
def test_a_damaged_archive_is_refused_or_still_a_dataset(tmp_path_factory, changes):
    damaged = bytearray(GOOD)
    for position, value in changes:
        damaged[position] = value
    try:
        info = inspect(tmp_path_factory.mktemp("damaged"), bytes(damaged), max_bytes=10**6)
    except InvalidData:
        return
    assert (info.num_classes, info.input_shape) == (4, (3, 6, 5))


def weights_file(tmp_path, data):
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    return path


def test_weights_tell_channels_classes_parameters_and_macs(tmp_path):
    counter = {"bn1.num_batches_tracked": np.zeros((), np.int64)}
    path = weights_file(tmp_path, safetensors.numpy.save(tensors(**counter)))
    info = weights_inspection.inspect_weights(path, ARCHITECTURE, input_shape=(3, 8, 8))
    assert (info.in_channels, info.num_classes) == (3, 5)
    assert info.parameters == layout.parameters(ARCHITECTURE, **SIZE)
    assert info.macs == layout.macs(ARCHITECTURE, **SIZE, height=8, width=8)
    unsized = weights_inspection.inspect_weights(path, ARCHITECTURE)
    assert unsized.macs is None
    assert [row.loses_channels for row in unsized.layers] == [True] * len(unsized.layers)
    with pytest.raises(InvalidWeights, match="3 channels"):
        weights_inspection.inspect_weights(path, ARCHITECTURE, input_shape=(1, 8, 8))


BAD_TENSORS = {
    "unknown": (tensors(extra=np.zeros(3, np.float32)), "unknown: extra"),
    "double": (tensors(**{"bn1.bias": np.zeros(4)}), "dtype 'F64'"),
    "integers": (tensors(**{"bn1.bias": np.zeros(4, np.int64)}), "I64 in bn1.bias"),
    "shape": (tensors(**{"bn1.bias": np.zeros(5, np.float32)}), r"bn1.bias is \(5,\), expected"),
    "no stem": ({"linear.weight": np.zeros((5, 8), np.float32)}, "'conv1.weight' with 4"),
    "nothing": ({}, "'conv1.weight'"),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_tensors_that_do_not_fit_the_family_are_refused_by_name(tmp_path, case):
    contents, reason = BAD_TENSORS[case]
    path = weights_file(tmp_path, safetensors.numpy.save(contents))
    with pytest.raises(InvalidWeights, match=reason):
        weights_inspection.inspect_weights(path, ARCHITECTURE)


@pytest.mark.parametrize("case", hostile_weights.HOSTILE)
def test_safetensors_files_that_lie_are_refused(tmp_path, case):
    data, reason = hostile_weights.HOSTILE[case]
    with pytest.raises(InvalidWeights, match=reason):
        weights_inspection.inspect_weights(weights_file(tmp_path, data), ARCHITECTURE)


def test_the_default_limit_is_four_gibibytes():
    assert npz.MAX_BYTES == 4 * 2**30


def splits_of(**images):
    """A data set of these splits, whose labels are 0, 1, 2, 3 in turn."""
    return {
        f"{axis}_{split}": value
        for split, x in images.items()
        for axis, value in (("x", x), ("y", np.arange(len(x)) % 4))
    }


def noise(count, seed=0, dtype=np.uint8):
    values = np.random.default_rng(seed).integers(0, 256, (count, 31, 31, 3))
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_that_two_splits_share_are_counted(tmp_path, dtype):
    """They are read in pieces that no image ends with: more than one, of either type."""
    train, other = noise(40, dtype=dtype), noise(400, seed=1, dtype=dtype)
    assert other.nbytes > npz.CHUNK_BYTES
    assert npz.CHUNK_BYTES % other[0].nbytes
    validation = np.concatenate([other[:390], train[:10]])
    test = np.concatenate([noise(100, seed=2, dtype=dtype), other[:100]])
    given = splits_of(train=train, validation=validation, test=test)
    warnings = inspect(tmp_path, npz_bytes(given)).warnings
    assert [said.partition(":")[0] for said in warnings if "too" in said] == [
        "10 of 400 images of validation are in train, too",
        "100 of 200 images of test are in validation, too",
    ]


def test_validation_equal_to_train_is_said(tmp_path):
    given = splits_of(train=noise(120), validation=noise(120))
    [said] = inspect(tmp_path, npz_bytes(given)).warnings
    assert said.startswith("120 of 120 images of validation are in train, too: ")
    assert "leave them out of validation" in said


def test_copies_within_train_that_the_holdout_tears_apart_are_said(tmp_path):
    twice = np.concatenate([noise(300)] * 2)
    info = inspect(tmp_path, npz_bytes(splits_of(train=twice)))
    assert info.held_out
    [said] = [each for each in info.warnings if "of 120 images of validation are in tr" in each]
    assert said.endswith("leave copies out of train, of which validation is a fifth")
    once = inspect(tmp_path, npz_bytes(splits_of(train=noise(600))))
    assert once.warnings == ()


def test_images_that_are_all_the_same_are_said(tmp_path):
    same = np.full((120, 31, 31, 3), 9, np.uint8)
    given = splits_of(train=noise(40), validation=same)
    [said] = inspect(tmp_path, npz_bytes(given)).warnings
    assert said.startswith("all 120 images of validation are the same")


def test_a_split_of_one_class_is_said_and_which(tmp_path):
    given = splits_of(train=noise(400), validation=noise(120, seed=3))
    given["y_validation"] = np.full(120, 3)
    [said] = inspect(tmp_path, npz_bytes(given)).warnings
    assert said.startswith("validation holds only class 3: always answering 3 is right")


@pytest.mark.parametrize("offset", [0, 1e6])
def test_a_normalisation_is_proposed_that_gives_mean_0_and_deviation_1(tmp_path, offset):
    generator = np.random.default_rng(0)
    x = generator.normal([1, 2, 3], [1, 5, 10], (400, 32, 32, 3)).astype(np.float32) + offset
    found = inspect(tmp_path, npz_bytes({"x_train": x, "y_train": np.arange(400) % 2}, np.savez))
    proposed = found.normalisation
    assert proposed.scale == 1.0
    assert np.allclose(np.subtract(proposed.mean, offset), [1, 2, 3], atol=0.05 + offset / 1e4)
    assert np.allclose(proposed.std, [1, 5, 10], rtol=0.02)


def test_pixels_are_scaled_first_and_a_large_file_is_sampled(tmp_path):
    x = np.zeros((2000, 64, 64), np.uint8)
    x[:, :16] = np.random.default_rng(0).integers(0, 256, (2000, 16, 64), dtype=np.uint8)
    found = inspect(tmp_path, npz_bytes({"x_train": x, "y_train": np.arange(2000) % 2}, np.savez))
    assert found.normalisation.scale == 1 / 255
    assert found.normalisation.mean == pytest.approx([x.mean() / 255], rel=0.01)
    assert found.normalisation.std == pytest.approx([x.std() / 255], rel=0.01)
    assert "{scale: 0.00392157, mean: [" in found.normalisation.words


def test_a_constant_channel_has_a_deviation_of_its_own(tmp_path):
    changed = arrays()
    changed["x_train"][..., 1] = 7
    proposed = inspect(tmp_path, npz_bytes(changed)).normalisation
    assert proposed.mean[1] == pytest.approx(7 / 255, rel=1e-3)
    assert proposed.std[1] == pytest.approx(1 / 255, rel=1e-3)
