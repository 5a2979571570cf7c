"""A folder of pictures becomes one zip on the user's machine; nothing outside it is touched."""

import tempfile
import zipfile

import pytest

from compress.tasks.conversion import convert
from compress.tasks.formats import npz
from compress.tasks.reading import DatasetReading
from compress.values.errors import InvalidData
from featherweight.client import folders
from featherweight.errors import UploadRefused
from tests.featherweight import hostile_folders

REFUSALS = (UploadRefused, InvalidData)
CAUTION = npz.Caution(most_ratio=200, seconds=60)
MOST_WORDS = 900


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


def taken_in(folder, target):
    """Do with a folder what a client and a service do."""
    with folders.as_file(folder) as zipped, target.open("wb") as file:
        convert.convert(zipped, file, DatasetReading(), caution=CAUTION)


@pytest.mark.parametrize("name", hostile_folders.HOSTILE)
def test_a_folder_that_is_no_dataset_is_refused_in_words_and_leaves_nothing(
    tmp_path, monkeypatch, name
):
    write, words = hostile_folders.HOSTILE[name]
    folder, temporary = tmp_path / "pets", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    write(folder)
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with pytest.raises(REFUSALS, match=words) as caught:
        taken_in(folder, tmp_path / "made")
    assert len(str(caught.value)) < MOST_WORDS
    assert list(temporary.iterdir()) == []
    assert {path: path.lstat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_picture_that_cannot_be_opened_is_named(folder, tmp_path, monkeypatch):
    def opened(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("featherweight.client.folders.Path.open", opened)
    with pytest.raises(UploadRefused, match=r"1\.JPG cannot be read: Permission denied"):
        taken_in(folder, tmp_path / "made")
