"""A folder of pictures becomes one zip on the user's machine; nothing outside it is touched."""

import zipfile

import pytest

from featherweight.client import folders
from featherweight.errors import UploadRefused


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "pets"
    for name in ("cat/2.png", "cat/1.JPG", "dog/a b.webp", "dog/notes.txt", ".git/1.png"):
        path = found / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "outside.png").write_bytes(b"secret")
    (found / "cat" / "link.png").symlink_to(tmp_path / "outside.png")
    (found / "elsewhere").symlink_to(tmp_path)
    return found


def test_pictures_of_a_folder_are_zipped_and_no_link_is_followed(folder):
    with folders.as_file(folder) as zipped:
        assert zipped.name == "pets.zip"
        with zipfile.ZipFile(zipped) as archive:
            held = {name: archive.read(name).decode() for name in archive.namelist()}
    assert held == {name: name for name in ("cat/1.JPG", "cat/2.png", "dog/a b.webp")}
    assert not zipped.exists()


def test_the_same_pictures_are_the_same_bytes_whenever_they_were_written(folder):
    with folders.as_file(folder) as zipped:
        before = zipped.read_bytes()
    (folder / "cat" / "1.JPG").touch()
    with folders.as_file(folder) as zipped:
        assert zipped.read_bytes() == before


def test_a_file_is_itself_and_a_folder_without_pictures_is_refused(folder, tmp_path):
    with folders.as_file(folder / "cat" / "2.png") as found:
        assert found == folder / "cat" / "2.png"
    (tmp_path / "empty").mkdir()
    with (
        pytest.raises(UploadRefused, match="holds no pictures: expected a folder for each class"),
        folders.as_file(tmp_path / "empty"),
    ):
        pass
