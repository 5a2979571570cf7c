"""Datasets as people have them: made over once when they are sent, and found again."""

import io
import json
import zipfile

import numpy as np
from PIL import Image

from tests.service.running import form, problem, serve, sha256

COUNT = 60
TURN = np.arange(COUNT) % 3
WORDS = np.array(["cat", "dog", "eel"])[TURN]
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 3, 8, 8), dtype=np.uint8)


def saved(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


ODD = saved(images=IMAGES, labels=WORDS)


def sent(service, content, **fields):
    return service.client.post("/v1/datasets", **form(content, name="pets", **fields))


def files(service) -> set[str]:
    return {path.name for path in service.files.folder.glob("sha256/*/*")}


def leftovers(service) -> list[str]:
    return [path.name for path in service.files.folder.glob("temporary/*")]


def test_an_odd_file_becomes_a_dataset_that_says_what_was_made_of_what(either_service):
    answer = sent(either_service, ODD)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    info = made["info"]
    assert info["class_names"] == ["cat", "dog", "eel"]
    assert info["input_shape"] == [3, 8, 8]
    assert any("NCHW" in note for note in info["notes"])
    reading = {"layout": None, "classes": None, "size": None, "channels": None}
    origin = {"sha256": sha256(ODD), "size_bytes": len(ODD), "format": "npz", "reading": reading}
    assert info["origin"] == origin
    assert made["sha256"] != sha256(ODD)
    assert files(either_service) == {made["sha256"]}
    assert leftovers(either_service) == []
    again = sent(either_service, ODD)
    assert (again.status_code, again.json()) == (200, made)


def pictures(**more) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, pixels in enumerate(IMAGES.transpose(0, 2, 3, 1)):
            picture = io.BytesIO()
            Image.fromarray(pixels).save(picture, "PNG")
            archive.writestr(f"{WORDS[number]}/{number}.png", picture.getvalue())
        for name, data in more.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_zip_of_pictures_is_decoded_once_and_workers_fetch_the_arrays(service):
    content = pictures()
    made = sent(service, content).json()
    info = made["info"]
    assert (info["class_names"], info["origin"]["format"]) == (["cat", "dog", "eel"], "pictures")
    assert info["origin"]["sha256"] == sha256(content)
    with np.load(service.files.path(made["sha256"])) as stored:
        assert stored["x_train"].shape == (COUNT, 8, 8, 3)
        assert (stored["x_train"][0] == IMAGES[0].transpose(1, 2, 0)).all()
    small = service.client.post("/v1/datasets", **form(content, name="small", size=[4, 5]))
    assert small.json()["info"]["input_shape"] == [3, 4, 5]
    detail = problem(
        service.client.post("/v1/datasets", **form(pictures(**{"cat/x.png": b"x"}), name="bad")),
        422,
        "InvalidData",
    )["detail"]
    assert "'cat/x.png' is no readable png" in detail
    assert len(files(service)) == 2
    assert leftovers(service) == []


def test_the_same_bytes_read_in_another_way_are_another_dataset(service):
    content = saved(x_train=IMAGES.transpose(0, 2, 3, 1).repeat(2, axis=3)[..., :5], y_train=TURN)
    both = service.client.post("/v1/datasets", **form(content, name="both")).json()
    assert both["sha256"] == sha256(content)
    assert any("layout: NCHW" in warning for warning in both["info"]["warnings"])
    other = service.client.post("/v1/datasets", **form(content, name="other", layout="NCHW"))
    assert other.json()["info"]["input_shape"] == [8, 8, 5]
    taken = service.client.post("/v1/datasets", **form(content, name="both", layout="NCHW"))
    assert problem(taken, 409, "NameTaken")
    wrong = service.client.post("/v1/datasets", **form(content, name="wrong", layout="CHWN"))
    assert problem(wrong, 422, "RequestValidationError")


def test_an_upload_whose_answer_was_lost_is_sent_again(service):
    upload = service.client.post("/v1/uploads", json={"size_bytes": len(ODD)}).json()["id"]
    headers = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    service.client.patch(f"/v1/uploads/{upload}", content=ODD, headers=headers)
    parts = {"spec": (None, json.dumps({"name": "pets"})), "upload": (None, upload)}
    first = service.client.post("/v1/datasets", files=parts)
    assert first.status_code == 201, first.text
    again = service.client.post("/v1/datasets", files=parts)
    assert (again.status_code, again.json()) == (200, first.json())
    assert files(service) == {first.json()["sha256"]}


def test_what_cannot_be_made_a_dataset_leaves_nothing(service):
    for content, words in (
        (saved(images=IMAGES, labels=WORDS.astype(object)), "pickled and never opened"),
        (saved(images=IMAGES, labels=TURN / 2), "no whole number"),
        (saved(images=IMAGES * 0, labels=WORDS), "nothing to learn"),
    ):
        assert words in problem(sent(service, content), 422, "InvalidData")["detail"]
        assert (files(service), leftovers(service)) == (set(), [])


def test_a_file_that_takes_too_long_to_read_is_refused_in_words(sqlite_url, tmp_path):
    with serve(sqlite_url, tmp_path, inspection_seconds=0.001) as service:
        detail = problem(sent(service, ODD), 422, "InvalidData")["detail"]
        assert "inspection" in detail
        assert (files(service), leftovers(service)) == (set(), [])


def test_a_sheet_of_the_images_can_be_looked_at(service):
    made = sent(service, ODD).json()
    answer = service.client.get("/v1/datasets/pets/preview")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    with Image.open(io.BytesIO(answer.content)) as sheet:
        assert sheet.size == (8 * 34, 3 * 34)
    known = {"If-None-Match": answer.headers["etag"]}
    again = service.client.get(f"/v1/datasets/{made['id']}/preview", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    problem(service.client.get("/v1/datasets/nobody/preview"), 404, "DatasetNotFound")
