"""Models, datasets and resumable uploads: whole or not at all."""

import json
import threading

import httpx2
import numpy as np
import pytest

from tests import factories
from tests.service.running import (
    MODEL_FIELDS,
    form,
    listening,
    npz,
    problem,
    serve,
    sha256,
    until,
    weights,
)


def stored_files(service) -> set[str]:
    return {path.name for path in service.files.folder.glob("sha256/*/*")}


def leftovers(service) -> list[str]:
    found = [*service.files.folder.glob("temporary/*"), *service.files.folder.glob("uploads/*")]
    return [path.name for path in found]


def upload_dataset(service, content=None, **fields):
    content = npz() if content is None else content
    return service.client.post("/v1/datasets", **form(content, **({"name": "digits"} | fields)))


def test_a_dataset_is_looked_into_and_kept(either_service):
    service = either_service
    content = npz()
    answer = upload_dataset(service, content)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["sha256"] == sha256(content)
    assert made["size_bytes"] == len(content)
    assert made["info"]["num_classes"] == 2
    assert made["info"]["input_shape"] == [1, 8, 8]
    assert sum(made["info"]["splits"].values()) == 40
    assert service.client.get("/v1/datasets/digits").json() == made
    assert service.client.get(answer.headers["Location"]).json() == made
    assert service.client.get("/v1/datasets").json()["items"] == [made]


def test_a_model_is_looked_into_and_kept(service):
    answer = service.client.post("/v1/models", **form(weights(), **MODEL_FIELDS))
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["info"]["in_channels"], made["info"]["num_classes"]) == (1, 2)
    assert made["info"]["parameters"] > 0
    assert service.client.get("/v1/models/network").json() == made


def test_a_job_can_start_from_uploaded_weights_and_data(service):
    upload_dataset(service)
    service.client.post("/v1/models", **form(weights(), **MODEL_FIELDS))
    assert service.submit(model="network")["spec"]["model"] == "network"


def test_the_same_name_and_bytes_again_are_the_same_thing(either_service):
    service = either_service
    first, again = upload_dataset(service), upload_dataset(service)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()


def test_another_file_under_a_taken_name_is_refused_and_not_kept(service):
    first = upload_dataset(service).json()
    other = upload_dataset(service, npz(x_train=[[[1, 2]] * 2] * 4, y_train=[0, 1, 0, 1]))
    assert other.status_code in (409, 422)
    assert stored_files(service) == {first["sha256"]}


def test_a_taken_model_name_is_refused_and_the_new_bytes_are_not_kept(service):
    first = service.client.post("/v1/models", **form(weights(), **MODEL_FIELDS)).json()
    three = form(weights(num_classes=3), **MODEL_FIELDS)
    problem(service.client.post("/v1/models", **three), 409, "NameTaken")
    assert stored_files(service) == {first["sha256"]}


def test_what_is_no_dataset_or_no_weights_is_refused_and_not_kept(service):
    problem(upload_dataset(service, b"not a zip"), 422, "InvalidData")
    answer = service.client.post("/v1/models", **form(b"not safetensors", **MODEL_FIELDS))
    problem(answer, 422, "InvalidWeights")
    other = MODEL_FIELDS | {"architecture": {"family": "residual", "widths": [9], "depths": [1]}}
    problem(service.client.post("/v1/models", **form(weights(), **other)), 422, "InvalidWeights")
    normalisation = {"mean": [0, 0, 0], "std": [1, 1, 1]}
    fields = MODEL_FIELDS | {"normalisation": normalisation}
    answer = service.client.post("/v1/models", **form(weights(), **fields))
    assert "3 channels" in problem(answer, 422, "InvalidWeights")["detail"]
    assert stored_files(service) == set()
    assert leftovers(service) == []
    assert service.client.get("/v1/models").json()["items"] == []


def test_values_that_float32_cannot_use_are_refused_where_they_come_in(service):
    y_train = np.arange(40) % 2
    digits = np.random.default_rng(0).normal(size=(40, 8, 8)).astype(np.float32)
    for x_train, words in (
        (digits * np.float32(1e31), "divide all values by a constant"),
        (digits * np.float32(1e-40), "multiply all values by a constant"),
        (digits + np.float32(1e9), "subtract a large offset before they become float32"),
    ):
        answer = upload_dataset(service, npz(x_train=x_train, y_train=y_train))
        assert words in problem(answer, 422, "InvalidData")["detail"]
    beside = np.stack([digits, np.full_like(digits, 255)], axis=3)
    made = upload_dataset(service, npz(x_train=beside, y_train=y_train)).json()
    assert "channel 1 of x_train is 255 everywhere" in made["info"]["warnings"][-1]
    fields = MODEL_FIELDS | {"normalisation": {"mean": [0], "std": [1e-40]}}
    answer = service.client.post("/v1/models", **form(weights(), **fields))
    assert "which float32 does not hold" in str(problem(answer, 422, "RequestValidationError"))
    model = factories.UNTRAINED.model_dump(mode="json")
    spec = factories.spec().model_dump(mode="json")
    spec["model"] = model | {"normalisation": {"mean": [1e31], "std": [1]}}
    answer = service.client.post("/v1/jobs?dry_run=true", json=spec)
    assert "less than or equal" in str(problem(answer, 422, "RequestValidationError"))


def test_the_bytes_of_a_refused_file_stay_where_somebody_else_uses_them(service):
    content = npz()
    upload_dataset(service, content)
    problem(
        service.client.post("/v1/models", **form(content, **MODEL_FIELDS)), 422, "InvalidWeights"
    )
    assert stored_files(service) == {sha256(content)}


def test_a_form_that_is_not_one_says_what_is_missing(service):
    post = service.client.post
    problem(post("/v1/datasets", json={}), 415, "UnsupportedMediaType")
    problem(post("/v1/datasets", files={"file": ("f", b"x")}), 422, "BodyInvalid")
    both = form(npz(), name="digits")
    both["data"]["upload"] = "abc"
    problem(post("/v1/datasets", **both), 422, "FileAmbiguous")
    extra = form(npz(), name="digits")
    extra["data"]["surprise"] = "x"
    assert "surprise" in problem(post("/v1/datasets", **extra), 422, "BodyInvalid")["detail"]
    broken = form(npz())
    broken["data"]["spec"] = "{no json"
    found = problem(post("/v1/datasets", **broken), 422, "RequestValidationError")
    assert found["errors"][0]["loc"] == ["body", "spec"]
    unknown = form(npz(), name="digits", tusk="x")
    found = problem(post("/v1/datasets", **unknown), 422, "RequestValidationError")
    assert found["errors"][0]["loc"] == ["body", "spec", "tusk"]
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    problem(post("/v1/datasets", content=b"--y\r\n", headers=headers), 422, "BodyInvalid")


def test_the_spec_beside_a_file_means_what_it_says(service):
    spec = json.dumps({"name": "net", "input_shape": [1, 8, True]})
    answer = service.client.post("/v1/models", data={"spec": spec}, files={"file": b"bytes"})
    [error] = problem(answer, 422, "RequestValidationError")["errors"]
    assert error["loc"] == ["body", "spec", "input_shape", 2]
    assert error["msg"] == "Input should be a number, not true or false"


def test_a_file_over_the_limit_is_refused_and_not_kept(database_url, tmp_path):
    with serve(database_url, tmp_path, max_upload_bytes=1000) as service:
        problem(upload_dataset(service, b"x" * 1001), 413, "FileTooLarge")
        problem(upload_dataset(service, b"x" * 3_000_000), 413, "BodyTooLarge")
        begun = service.client.post("/v1/uploads", json={"size_bytes": 1001})
        assert "1000" in problem(begun, 422, "RequestValidationError")["detail"]
        assert stored_files(service) == set()
        assert leftovers(service) == []


def test_a_dataset_that_a_job_uses_cannot_be_deleted(either_service):
    service = either_service
    content = npz()
    upload_dataset(service, content)
    upload_dataset(service, content, name="copy")
    service.submit()
    problem(service.client.delete("/v1/datasets/digits"), 409, "StillInUse")
    assert service.client.delete("/v1/datasets/copy").status_code == 204
    problem(service.client.delete("/v1/datasets/copy"), 404, "DatasetNotFound")
    assert stored_files(service) == {sha256(content)}


def test_a_deleted_model_takes_its_bytes_along(service):
    service.client.post("/v1/models", **form(weights(), **MODEL_FIELDS))
    assert service.client.delete("/v1/models/network").status_code == 204
    assert stored_files(service) == set()


def patch(client, upload, content, offset):
    headers = {"Upload-Offset": str(offset), "Content-Type": "application/octet-stream"}
    return client.patch(f"/v1/uploads/{upload}", content=content, headers=headers)


def test_an_upload_goes_on_from_where_it_stands(either_service):
    service = either_service
    content = npz()
    begun = service.client.post("/v1/uploads", json={"size_bytes": len(content)})
    assert begun.status_code == 201
    upload = begun.json()["id"]
    first = patch(service.client, upload, content[:100], 0)
    assert first.json()["received"] == 100
    problem(patch(service.client, upload, content[:100], 0), 409, "UploadOffsetMismatch")
    assert service.client.head(f"/v1/uploads/{upload}").headers["Upload-Offset"] == "100"
    early = service.client.post("/v1/datasets", files=finished(upload))
    problem(early, 409, "UploadOffsetMismatch")
    patch(service.client, upload, content[100:], 100)
    made = service.client.post("/v1/datasets", files=finished(upload))
    assert made.status_code == 201, made.text
    assert made.json()["sha256"] == sha256(content)
    problem(service.client.get(f"/v1/uploads/{upload}"), 404, "UploadNotFound")
    assert leftovers(service) == []


def finished(upload, **fields):
    spec = {"name": "digits"} | fields
    return {"spec": (None, json.dumps(spec)), "upload": (None, upload)}


def sent(service, content) -> str:
    """Id of an upload whose bytes have all arrived."""
    begun = service.client.post("/v1/uploads", json={"size_bytes": len(content)})
    assert patch(service.client, begun.json()["id"], content, 0).status_code == 200
    return begun.json()["id"]


def test_a_finished_upload_posted_again_gets_the_same_answer(either_service):
    service = either_service
    upload = sent(service, npz())
    first, again = (service.client.post("/v1/datasets", files=finished(upload)) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.headers["Location"] == again.headers["Location"]
    assert stored_files(service) == {first.json()["sha256"]}


def test_an_upload_of_a_known_dataset_posted_again_gets_the_same_answer(service):
    made = upload_dataset(service, npz()).json()
    upload = sent(service, npz())
    for _ in range(2):
        answer = service.client.post("/v1/datasets", files=finished(upload))
        assert (answer.status_code, answer.json()) == (200, made)


def test_a_finished_model_upload_posted_again_gets_the_same_answer(service):
    upload = sent(service, weights())
    files = finished(upload, **MODEL_FIELDS)
    first, again = (service.client.post("/v1/models", files=files) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = {"normalisation": {"mean": [0.1], "std": [0.9]}}
    files = finished(upload, **(MODEL_FIELDS | other))
    found = problem(service.client.post("/v1/models", files=files), 409, "NameTaken")
    assert "'network'" in found["detail"]
    assert stored_files(service) == {first.json()["sha256"]}


def test_a_finished_upload_is_forgotten_with_the_dataset_that_it_became(service):
    upload = sent(service, npz())
    service.client.post("/v1/datasets", files=finished(upload))
    service.client.post("/v1/datasets", files=finished(upload, name="copy"))
    assert service.client.delete("/v1/datasets/digits").status_code == 204
    back = service.client.post("/v1/datasets", files=finished(upload))
    assert (back.status_code, back.json()["name"]) == (201, "digits")
    for name in ("digits", "copy"):
        assert service.client.delete(f"/v1/datasets/{name}").status_code == 204
    again = service.client.post("/v1/datasets", files=finished(upload))
    problem(again, 404, "UploadNotFound")
    assert stored_files(service) == set()


def test_a_refused_upload_leaves_nothing_and_has_to_be_sent_again(service):
    upload = sent(service, b"not a zip")
    problem(service.client.post("/v1/datasets", files=finished(upload)), 422, "InvalidData")
    again = service.client.post("/v1/datasets", files=finished(upload))
    problem(again, 404, "UploadNotFound")
    assert stored_files(service) == set()
    assert leftovers(service) == []


def test_an_upload_takes_no_more_than_was_announced(service):
    upload = service.client.post("/v1/uploads", json={"size_bytes": 10}).json()["id"]
    patch(service.client, upload, b"12345", 0)
    problem(patch(service.client, upload, b"67890x", 5), 413, "FileTooLarge")
    assert service.client.get(f"/v1/uploads/{upload}").json()["received"] == 5
    problem(patch(service.client, upload, b"x" * 11, 5), 413, "BodyTooLarge")


def test_an_upload_can_be_dropped(service):
    upload = service.client.post("/v1/uploads", json={"size_bytes": 10}).json()["id"]
    patch(service.client, upload, b"12345", 0)
    assert service.client.delete(f"/v1/uploads/{upload}").status_code == 204
    problem(patch(service.client, upload, b"67890", 5), 404, "UploadNotFound")
    assert leftovers(service) == []


@pytest.mark.parametrize("size", [0, -1, 2**63, "many"])
def test_an_upload_needs_a_possible_size(service, size):
    answer = service.client.post("/v1/uploads", json={"size_bytes": size})
    problem(answer, 422, "RequestValidationError")


def test_what_arrived_before_the_line_broke_stays(service):
    upload = service.client.post("/v1/uploads", json={"size_bytes": 1_000_000}).json()["id"]

    def breaks_off():
        yield b"x" * 200_000
        raise ConnectionAbortedError

    with listening(service.settings) as url, httpx2.Client(base_url=url) as client:
        with pytest.raises(ConnectionAbortedError):
            patch(client, upload, breaks_off(), 0)
        path = f"/v1/uploads/{upload}"
        until(lambda: client.get(path).json()["received"] == 200_000)
        until(lambda: patch(client, upload, b"y", 200_000).status_code == 200)


def test_a_large_file_of_unannounced_length_is_streamed(service):
    chunk, chunks = b"x" * 1_000_000, 30
    upload = service.client.post("/v1/uploads", json={"size_bytes": len(chunk) * chunks}).json()[
        "id"
    ]
    with listening(service.settings) as url, httpx2.Client(base_url=url) as client:
        answer = patch(client, upload, (chunk for _ in range(chunks)), 0)
    assert answer.json()["received"] == len(chunk) * chunks


def test_what_is_uploaded_while_its_bytes_are_removed_can_be_read(service):
    content = npz()
    assert upload_dataset(service, content, name="first").status_code == 201
    with service.files.alone(sha256(content)) as is_alone:
        assert is_alone
        removal = threading.Thread(target=service.client.delete, args=("/v1/datasets/first",))
        removal.start()
        removal.join(timeout=30)
        assert not removal.is_alive(), "a delete does not wait for the bytes"
        again = threading.Thread(
            target=upload_dataset, args=(service, content), kwargs={"name": "second"}
        )
        again.start()
        service.files.delete(sha256(content))
    again.join(timeout=30)
    made = service.client.get("/v1/datasets/second")
    assert made.status_code == 200
    assert service.client.get(f"/v1/files/{sha256(content)}").content == content
