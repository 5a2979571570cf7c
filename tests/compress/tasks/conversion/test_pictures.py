"""Zips of folders of pictures become datasets, or are refused in words."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from compress.tasks import inspection, loading
from compress.tasks.conversion import convert
from compress.tasks.conversion.pictures import listing
from compress.tasks.formats import npz
from compress.tasks.reading import DatasetReading
from compress.values.errors import InvalidData
from tests.compress.tasks.conversion.hostile_pictures import (
    CLASSES,
    HOSTILE,
    ORIENTATION,
    PNG,
    encoded,
    files,
    pixels,
    zipped,
)

PLAIN = DatasetReading()
CAUTION = npz.Caution(most_ratio=200, seconds=60)


@pytest.fixture
def made(tmp_path):
    def make(content, reading=PLAIN, caution=CAUTION):
        path, target = tmp_path / "given.zip", tmp_path / "made.npz"
        path.write_bytes(content if isinstance(content, bytes) else zipped(content))
        with target.open("wb") as file:
            said = convert.convert(path, file, reading, caution=caution)
        return said, target

    return make


def first(target):
    """The picture that comes first, as (C, H, W)."""
    with np.load(target) as arrays:
        return arrays["x_train"][0]


def test_a_folder_for_each_class_is_a_dataset_that_names_its_classes(made):
    given = files(splits=("train/", "val/", "test/"))
    said, target = made(given)
    assert (said.format, said.notes, said.warnings) == ("pictures", (), ())
    info = inspection.inspect_dataset(target)
    assert info.class_names == CLASSES
    assert info.splits == {"train": 10, "validation": 10, "test": 10}
    assert info.input_shape == (3, 8, 6)
    data = loading.load(target)
    assert data.train.y_N.tolist() == [0] * 5 + [1] * 5
    expected = np.asarray(Image.open(io.BytesIO(given["train/dog/2.png"])))
    assert (data.train.x_NCHW[7].permute(1, 2, 0).numpy() == expected).all()


def test_without_splits_all_is_train_and_folders_around_it_say_nothing(made):
    plain, _ = made(files())
    _, target = made({f"my pets/here/{name}": data for name, data in files().items()})
    info = inspection.inspect_dataset(target)
    assert info.held_out
    assert sum(info.splits.values()) == 10
    assert plain.warnings == ()


def test_what_systems_leave_in_folders_is_dropped_and_other_files_are_named(made):
    junk = {
        "__MACOSX/cat/._0.png": b"x",
        "cat/.hidden.png": b"x",
        ".DS_Store": b"x",
        "cat/Thumbs.db": b"x",
        "cat/": b"",
        "readme.txt": b"x",
        "dog/labels.csv": b"x",
    }
    said, target = made(files() | junk)
    assert said.warnings == ("2 files are no pictures and left out: dog/labels.csv, readme.txt",)
    assert sum(inspection.inspect_dataset(target).splits.values()) == 10


def test_classes_are_ordered_as_imagefolder_orders_them(made):
    given = {f"{k}/{n}.png": encoded(pixels(k * 9 + n)) for k in range(1, 12) for n in range(3)}
    said, target = made(given)
    assert inspection.inspect_dataset(target).class_names[:3] == ("1", "10", "11")
    assert "class 0 is '1'" in said.warnings[0]


def palette():
    image = Image.fromarray(pixels(shape=(8, 6)) % 4, "L").convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9] + [0] * 756)
    return encoded(image, transparency=b"\x00\x80\xff\xff")


DEEP = np.arange(48, dtype=np.uint16).reshape(8, 6) * 1300
GREY = pixels(shape=(8, 6))
MODES = {
    "grey": (encoded(GREY), GREY, 0),
    "black and white": (encoded(Image.fromarray(GREY > 99)), (GREY > 99) * 255, 1),
    "16 bits": (encoded(Image.fromarray(DEEP)), DEEP >> 8, 1),
    "grey with transparency": (encoded(np.dstack([GREY, GREY // 2])), GREY, 1),
    "colour": (PNG, pixels(), 0),
    "transparency": (encoded(np.dstack([pixels(), GREY])), pixels(), 1),
    "palette": (palette(), None, 1),
    "webp": (encoded(pixels(), "WEBP", lossless=True), pixels(), 0),
    "jpeg": (encoded(np.full((8, 6, 3), 77, np.uint8), "JPEG"), np.full((8, 6, 3), 77), 0),
    "CMYK": (encoded(Image.new("CMYK", (6, 8)), "JPEG"), np.full((8, 6, 3), 255), 1),
}


@pytest.mark.parametrize("case", MODES)
def test_every_mode_becomes_grey_or_colour_and_that_is_said(made, case):
    data, expected, notes = MODES[case]
    given = {f"{name}/{number}.png": data for name in CLASSES for number in range(5)}
    said, target = made(given)
    assert len(said.notes) == notes
    found = first(target)
    if expected is None:
        assert set(map(tuple, found.reshape(-1, 3).tolist())) <= {
            (255, 0, 0),
            (0, 255, 0),
            (0, 0, 255),
            (9, 9, 9),
        }
    else:
        assert (found == expected).all()


def test_grey_pictures_among_coloured_ones_become_colour_and_all_can_be_made_one(made):
    said, target = made(files(**{"cat/0.png": encoded(GREY)}))
    assert (first(target) == GREY[..., None]).all()
    assert said.notes == ("1 L pictures became RGB",)
    _, target = made(files(), DatasetReading(channels=1))
    assert first(target).shape == (8, 6)
    grey = {f"{name}/{n}.png": encoded(GREY) for name in CLASSES for n in range(5)}
    _, target = made(grey, DatasetReading(channels=3))
    assert first(target).shape == (8, 6, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_it_is_looked_at(made, kind, orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 250
    turns = (
        lambda a: a,
        lambda a: a[:, ::-1],
        lambda a: a[::-1, ::-1],
        lambda a: a[::-1],
        lambda a: a.transpose(1, 0, 2),
        lambda a: np.rot90(a, 1),
        lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        lambda a: np.rot90(a, -1),
    )
    image = Image.fromarray(np.ascontiguousarray(turns[orientation - 1](upright)))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(image, kind, exif=exif)
    _, target = made({f"{name}/{n}.png": data for name in CLASSES for n in range(5)})
    found = first(target)
    assert found.shape == upright.shape
    assert abs(found.astype(int) - upright).mean() < 12


def test_sizes_that_differ_are_counted_and_scaled_only_if_a_size_is_said(made):
    other = encoded(pixels(1, (20, 20, 3)))
    given = files(**{"dog/9.png": other})
    with pytest.raises(InvalidData) as refused:
        made(given)
    said = str(refused.value)
    assert "8x6: 10 (as 'cat/0.png'); 20x20: 1 (as 'dog/9.png')" in said
    assert "--size 8x6" in said
    done, target = made(given, DatasetReading(size=(8, 6)))
    assert inspection.inspect_dataset(target).input_shape == (3, 8, 6)
    assert done.warnings[0].startswith("1 of 11 pictures had another size")


def test_a_picture_is_scaled_by_its_shorter_side_and_cut_around_the_middle(made):
    wide = np.zeros((8, 32, 3), np.uint8)
    wide[:, 12:20] = 200
    given = {f"{name}/{n}.png": encoded(wide) for name in CLASSES for n in range(5)}
    _, target = made(given, DatasetReading(size=(8, 8)))
    assert (first(target) == 200).all()


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_folder_of_pictures_is_refused_with_the_reason(made, case):
    content, reason = HOSTILE[case]
    with pytest.raises(InvalidData, match=reason):
        made(content)


def test_the_same_name_twice_is_refused(made):
    with pytest.warns(UserWarning, match="Duplicate"):
        content = zipped([*files().items(), ("cat/0.png", PNG)])
    with pytest.raises(InvalidData, match="same name twice"):
        made(content)


def test_very_many_members_are_refused():
    entries = [zipfile.ZipInfo(f"cat/{number}.png") for number in range(listing.MAX_MEMBERS + 1)]
    with pytest.raises(InvalidData, match="at most 250,000 files, got 250,001"):
        listing.listed(entries)


def test_reading_takes_no_longer_than_it_may(made):
    with pytest.raises(InvalidData, match="longer than 0 seconds"):
        made(files(), caution=npz.Caution(most_ratio=200, seconds=0))


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (DatasetReading(layout="NCHW"), "layout: is for npz"),
        (DatasetReading(classes=5), "there are 2 folders of classes"),
    ],
)
def test_what_pictures_have_not_is_not_said_of_them(made, reading, reason):
    with pytest.raises(InvalidData, match=reason):
        made(files(), reading)


def test_the_same_pictures_give_the_same_bytes(made):
    given = files()
    _, target = made(given)
    before = target.read_bytes()
    made(dict(reversed(given.items())))
    assert target.read_bytes() == before
