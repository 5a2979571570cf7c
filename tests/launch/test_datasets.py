"""Commands about datasets: one is added, shown and listed, or refused with words."""

import pytest

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
