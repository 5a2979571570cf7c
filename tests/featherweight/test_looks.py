"""What a service makes of a file ends with whoever waits for it; how far it is can be seen."""

import io
import threading
import zipfile

import httpx2
import pytest
from PIL import Image

from compress.tasks.reading import DatasetReading
from featherweight.client import uploads
from featherweight.errors import NotFound
from tests.running import until

SMALL = DatasetReading(size=(4, 4))


def slow(count):
    """A zip of some kilobytes whose pictures take very long to decode."""
    picture = io.BytesIO()
    Image.new("L", (5000, 5000)).save(picture, "PNG")
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(count):
            archive.writestr(f"{'ab'[number % 2]}/{number}.png", picture.getvalue())
    return zipped.getvalue()


@pytest.fixture(scope="module")
def endless():
    return slow(400)


def left(house):
    """Children of the service, and bytes that it keeps."""
    folder = house.folder / "files"
    kept = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    return [*house.children("serve"), *kept]


def test_a_sender_that_hangs_up_ends_what_is_made_of_its_file(house, endless):
    before = left(house)
    form = {"spec": (None, '{"name": "endless", "size": [4, 4]}'), "file": ("a.zip", endless)}
    with httpx2.Client(timeout=1.0) as client, pytest.raises(httpx2.ReadTimeout):
        client.post(f"{house.url}/v1/datasets", files=form)
    until(lambda: left(house) == before, seconds=20)


def test_an_upload_that_is_deleted_is_looked_into_no_more(
    house, client, tmp_path, monkeypatch, endless
):
    monkeypatch.setattr(uploads, "WATCHED_BYTES", 1000)
    path, before = tmp_path / "endless.zip", left(house)
    path.write_bytes(endless)
    told, ended = list[tuple[str, float]](), list[Exception]()
    ids = list[str]()
    begin = uploads.resumable

    def noted(*arguments, **options):
        upload = begin(*arguments, **options)
        ids.append(upload.id)
        return upload

    def send():
        try:
            client.upload_dataset(
                path, name="endless", reading=SMALL, tell=lambda *each: told.append(each)
            )
        except NotFound as error:
            ended.append(error)

    monkeypatch.setattr(uploads, "resumable", noted)
    sender = threading.Thread(target=send)
    sender.start()
    until(lambda: any(stage == "converting" and share > 0 for stage, share in told), seconds=30)
    assert httpx2.delete(f"{house.url}/v1/uploads/{ids[0]}").status_code == 204
    sender.join(20)
    assert "nobody waits for this file" in str(ended[0])
    assert told[0] == ("sending", 1.0)
    shares = [share for stage, share in told if stage == "converting"]
    assert shares == sorted(shares)
    assert 0 < shares[-1] < 1
    until(lambda: left(house) == before, seconds=20)
