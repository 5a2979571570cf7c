"""Everything that is decoded on its way in is looked at as bodies are: no answer is a 500."""

import base64
import json

import pytest

from featherweight import documents
from tests.service.addresses import address, named, routes
from tests.service.running import MODEL_FIELDS, form, npz, problem, weights

MULTIPART = {"Content-Type": "multipart/form-data; boundary=X"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def cursor(*values):
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def parts(*fields):
    found = b""
    for name, more, value in fields:
        head = b'--X\r\nContent-Disposition: form-data; name="' + name + b'"' + more
        found += head + b"\r\n\r\n" + value + b"\r\n"
    return found + b"--X--\r\n"


@pytest.mark.parametrize("last", ["\ud800", "\x00", True, 2**70, ["a"], {"a": 1}, None, 1e308])
def test_a_cursor_that_holds_no_text_is_422_in_every_listing(either_service, last):
    service = either_service
    job = service.searching_job(waiting=1)
    paths = {
        "fw_jobs": "/v1/jobs",
        "fw_models": "/v1/models",
        "fw_datasets": "/v1/datasets",
        "fw_tokens": "/v1/tokens",
        "fw_workers": "/v1/workers",
        "fw_trials": f"/v1/jobs/{job}/trials",
        "fw_candidates": f"/v1/jobs/{job}/candidates",
    }
    for table, path in paths.items():
        for values in ((table, "2026-01-01T00:00:00+00:00", last), (table, last), (last,)):
            answer = service.client.get(path, params={"cursor": cursor(*values)})
            problem(answer, 422, "InvalidCursor")


@pytest.mark.parametrize("route", [r for r in routes() if "{" in r.path], ids=named)
@pytest.mark.parametrize("part", ["%00", "%ff", "%ED%A0%80", "a%0Ab", "%F0%9F"])
def test_a_part_of_a_path_that_is_no_id_is_refused(house, route, part):
    path = address(route).replace("none", part).replace("0" * 64, part).replace("anything", part)
    method = sorted(route.methods)[0]
    answer = house.client.request(method, path, json={}, headers={"Accept": "*/*"})
    allowed = (404, 415, 422, 503) if "rest" in route.path else (404, 415, 422)
    assert answer.status_code in allowed, answer.text
    if method != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json"


HEADERS = [
    ("Range", b"bytes=" + b"9" * 4000 + b"-"),
    ("If-None-Match", b"\xff" * 100),
    ("Last-Event-ID", "²".encode()),
    ("Last-Event-ID", b"9" * 4000),
    ("Idempotency-Key", b"\xff"),
    ("Fencing-Token", b"\xff"),
    ("Upload-Offset", b"9" * 4000),
    ("Upload-Offset", b"1e3"),
    ("Authorization", b"Bearer \xff\xfe"),
    ("Cookie", b"featherweight_token=\xff; \xfe=\xfd"),
    ("Origin", b"http://["),
    ("Content-Type", b"\xff/\xfe"),
    ("Content-Type", b"multipart/form-data; boundary=\xff"),
]


@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_a_header_that_is_no_text_is_no_error_of_ours(house, name, value):
    for route in routes("GET", "POST", "PATCH", "PUT"):
        if "rest" in route.path or route.path in ("/dashboard", "/readyz"):
            continue
        method = sorted(route.methods)[0]
        answer = house.client.request(
            method, address(route), headers={name: value}, follow_redirects=False
        )
        assert answer.status_code < 500, (route.path, answer.text)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/datasets"])
@pytest.mark.parametrize(
    "upload", [b"\x00", b"a\x00b", b"\xff", b"\xed\xa0\x80", b"", b"a" * 60_000, "é".encode()]
)
def test_the_id_of_an_upload_in_a_form_is_one(either_service, path, upload):
    spec = json.dumps({"name": "a"}).encode()
    body = parts((b"spec", b"", spec), (b"upload", b"", upload))
    answer = either_service.client.post(path, content=body, headers=MULTIPART)
    problem(answer, 422, "BodyInvalid")


@pytest.mark.parametrize("name", [b"sp\x00ec", b"\xff", b"\xed\xa0\x80", b"a" * 70_000, b""])
def test_the_name_of_a_part_is_text(house, name):
    answer = house.client.post("/v1/datasets", content=parts((name, b"", b"x")), headers=MULTIPART)
    problem(answer, 422, "BodyInvalid")


@pytest.mark.parametrize(
    "spec",
    [b'{"name": "\\ud800"}', b'{"name": "a\\u0000"}', b'{"name": NaN}', b"[" * 5000, b"\xff"],
)
def test_the_json_part_of_a_form_is_strict(house, spec):
    body = parts((b"spec", b"", spec), (b"file", b'; filename="a"', npz()))
    answer = house.client.post("/v1/datasets", content=body, headers=MULTIPART)
    assert problem(answer, 422, answer.json()["code"])["code"] in (
        "RequestValidationError",
        "BodyInvalid",
    )


def test_a_file_needs_no_name_of_its_own_but_a_form_has_one_way(house):
    spec = json.dumps({"name": "nameless"}).encode()
    body = parts((b"spec", b"", spec), (b"file", b"", npz()))
    answer = house.client.post("/v1/datasets", content=body, headers=MULTIPART)
    assert answer.status_code == 201, answer.text
    both = parts((b"spec", b"", spec), (b"file", b"", npz()), (b"upload", b"", b"abc"))
    answer = house.client.post("/v1/datasets", content=both, headers=MULTIPART)
    problem(answer, 422, "FileAmbiguous")


@pytest.mark.parametrize("body", [b"token=%ff", b"next=%ED%A0%80&token=a", b"\xff", b"a=1&" * 50])
def test_the_form_of_the_login_is_text(house, body):
    answer = house.client.post("/login", content=body, headers=FORM, follow_redirects=False)
    problem(answer, 422, "BodyInvalid")


NAMES = ["\ud800", "\x00", "\ud800" * 1000]


@pytest.mark.parametrize("name", NAMES)
def test_names_in_an_uploaded_file_that_are_no_text_are_told_in_words(house, name):
    header = {name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text
    answer = house.client.post("/v1/models", **form(content, **MODEL_FIELDS))
    problem(answer, 422, "InvalidWeights")


def test_weights_that_are_no_numbers_leave_nothing_behind(house):
    content = weights()
    content = content[:-4] + b"\x00\x00\xc0\x7f"
    answer = house.client.post("/v1/models", **form(content, **MODEL_FIELDS))
    assert "(1 of" in problem(answer, 422, "InvalidWeights")["detail"]
    assert house.client.get("/v1/models").json()["items"] == []


@pytest.mark.parametrize("text", ['name: "\\ud800"', 'name: "a\\0b"', "name: !!binary /w=="])
def test_yaml_holds_text_only(house, text):
    answer = house.client.post(
        "/v1/jobs", content=text, headers={"Content-Type": "application/yaml"}
    )
    assert answer.status_code == 422
    assert len(text) < documents.MAX_YAML_BYTES
