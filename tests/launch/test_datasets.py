"""Commands about datasets: one is added, shown and listed, or refused with words."""

import pytest
from PIL import Image

from tests.service.running import npz, weights

pytestmark = pytest.mark.proof


def test_an_npz_file_is_added_and_shown(run, tmp_path):
    path = tmp_path / "mine.npz"
    path.write_bytes(npz())
    done = run("datasets", "add", str(path))
    assert (done.status, done.err) == (0, "")
    assert "2 classes" in done.out
    assert "images 1x8x8 (channels, height, width), uint8 from 0 to " in done.out
    assert "validation is a fifth of train" in done.out
    name = next(one["name"] for one in run("datasets", "--json").json if "mine" in one["name"])
    assert run("datasets", "show", name).out == done.out
    assert name in run("datasets").out


def test_weights_are_answered_with_the_command_that_takes_them(run, tmp_path):
    path = tmp_path / "data.npz"
    path.write_bytes(weights())
    done = run("datasets", "add", str(path))
    assert done.status == 2
    assert "featherweight models add FILE --architecture" in done.err


def test_a_folder_of_pictures_is_added(run, tmp_path):
    folder = tmp_path / "pets"
    for number, colour in enumerate(["red", "blue"] * 10):
        place = folder / ("cat" if number % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8 + number // 18), colour).save(place / f"{number}.png")
    done = run("datasets", "add", str(folder))
    assert done.status == 2
    assert "--size 8x8" in done.err
    done = run("datasets", "add", str(folder), "--size", "8x8")
    assert (done.status, done.err) == (0, "")
    assert "0 (cat)" in done.out
    assert "2 of 20 pictures had another size" in done.out
    assert run("datasets", "add", str(folder), "--size", "wide").status == 2
