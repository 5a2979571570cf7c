"""Strangers who send slowly, or nothing, over real sockets: each ends, and nobody else waits."""

import contextlib
import json
import logging
import socket
import threading
import time
from urllib.parse import urlsplit

import httpx2
import numpy as np
import pytest

from service.http import connections
from tests import factories
from tests.service.running import MODEL_FIELDS, claim, form, listening, npz, serve, sha256, until

HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
WORKER = factories.worker_info("patient").model_dump(mode="json")
QUICK = {"header_seconds": 0.5, "body_seconds": 0.7}


@pytest.fixture
def hasty(sqlite_url, tmp_path):
    """A service that waits for nobody for long."""
    with serve(sqlite_url, tmp_path, **QUICK) as service:
        yield service


@contextlib.contextmanager
def line(url, *sent):
    """A connection on which these bytes were sent, each piece for itself."""
    host = urlsplit(url)
    with socket.create_connection((host.hostname, host.port), timeout=10) as opened:
        for piece in sent:
            opened.sendall(piece)
        yield opened


def all_of(opened):
    """What comes until the other end closes."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := opened.recv(65536):
            found += piece
    return found


def one_from(opened):
    """Status of the next answer, which says how long its body is."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += opened.recv(65536)
    head, _, body = found.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    while len(body) < length:
        body += opened.recv(65536)
    return int(head.split()[1])


def problem_in(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head.lower()
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)


def request(method, path, *, length, **headers):
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    text = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n{fields}\r\n"
    )
    return text.encode()


@pytest.mark.parametrize("sent", [b"", b"G", HEAD, HEAD + b"X-A: 1\r\n"])
def test_a_header_that_does_not_come_is_not_waited_for(hasty, sent):
    with listening(hasty.settings) as url:
        begin = time.monotonic()
        with line(url, sent) as opened:
            answer = all_of(opened)
        assert 0.3 < time.monotonic() - begin < 25
    if sent:
        status, problem = problem_in(answer)
        assert (status, problem["code"]) == (408, "RequestTimeout")
    else:
        assert answer == b""


def test_a_header_of_one_byte_now_and_then_is_not_waited_for(hasty):
    with listening(hasty.settings) as url, line(url, HEAD) as opened:
        begin = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - begin < 30:
                opened.sendall(b"a")
                time.sleep(0.05)
        assert time.monotonic() - begin < 25


def test_the_header_after_an_answer_has_a_deadline_too(hasty):
    with listening(hasty.settings) as url, line(url, HEAD + b"\r\n") as opened:
        assert one_from(opened) == 200
        opened.sendall(HEAD)
        begin = time.monotonic()
        assert problem_in(all_of(opened))[0] == 408
        assert time.monotonic() - begin < 25


def test_requests_on_one_connection_go_on_for_longer_than_a_header_may(hasty):
    with listening(hasty.settings) as url, line(url) as opened:
        for _ in range(4):
            opened.sendall(HEAD + b"\r\n")
            assert one_from(opened) == 200
            time.sleep(0.3)


def test_a_long_poll_is_no_header_that_does_not_come(hasty):
    with listening(hasty.settings) as url, httpx2.Client(base_url=url) as client:
        begin = time.monotonic()
        body = {"worker": WORKER, "wait_seconds": 1.5}
        assert client.post("/v1/attempts", json=body).status_code == 204
        assert time.monotonic() - begin > 1.4


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/v1/jobs", "application/json"),
        ("POST", "/v1/jobs", "application/yaml"),
        ("POST", "/v1/uploads", "application/json"),
        ("POST", "/v1/datasets", "multipart/form-data; boundary=x"),
        ("POST", "/v1/models", "multipart/form-data; boundary=x"),
        ("POST", "/login", "application/x-www-form-urlencoded"),
    ],
)
@pytest.mark.parametrize(
    "sent", [b"", b"--x\r\nContent-Disposition: form-data; name=spec\r\n\r\n{"]
)
def test_a_body_that_stops_is_answered_with_408(hasty, method, path, kind, sent):
    with listening(hasty.settings) as url:
        head = request(method, path, length=1000, Content_Type=kind)
        with line(url, head, sent) as opened:
            status, problem = problem_in(all_of(opened))
        assert (status, problem["code"]) == (408, "BodyTooSlow")
        assert "0.7 seconds" in problem["detail"]


def test_a_body_of_one_byte_now_and_then_is_not_waited_for(hasty):
    with listening(hasty.settings) as url:
        head = request("POST", "/v1/jobs", length=1000, Content_Type="application/json")
        begin = time.monotonic()
        with line(url, head) as opened, contextlib.suppress(OSError):
            while time.monotonic() - begin < 30:
                opened.sendall(b" ")
                time.sleep(0.05)
        assert time.monotonic() - begin < 25


def test_a_slow_body_that_is_fast_enough_is_read_to_its_end(hasty):
    upload = hasty.client.post("/v1/uploads", json={"size_bytes": 8000}).json()["id"]
    with listening(hasty.settings) as url:
        head = request("PATCH", f"/v1/uploads/{upload}", length=8000, Upload_Offset=0)
        with line(url, head) as opened:
            for _ in range(8):
                opened.sendall(b"x" * 1000)
                time.sleep(0.2)
            assert one_from(opened) == 200
    assert hasty.client.get(f"/v1/uploads/{upload}").json()["received"] == 8000


def test_what_an_upload_brought_before_it_stopped_stays(hasty):
    upload = hasty.client.post("/v1/uploads", json={"size_bytes": 1000}).json()["id"]
    path = f"/v1/uploads/{upload}"
    with listening(hasty.settings) as url:
        with line(url, request("PATCH", path, length=1000, Upload_Offset=0), b"x" * 300) as opened:
            assert problem_in(all_of(opened))[0] == 408
        assert hasty.client.get(path).json()["received"] == 300
        answer = httpx2.patch(url + path, content=b"y" * 700, headers={"Upload-Offset": "300"})
        assert answer.json()["received"] == 1000


def test_a_stopped_sender_does_not_keep_its_upload(service):
    upload = service.client.post("/v1/uploads", json={"size_bytes": 1000}).json()["id"]
    path = f"/v1/uploads/{upload}"
    head = request("PATCH", path, length=1000, Upload_Offset=0)
    with listening(service.settings) as url, line(url, head, b"x"):
        answer = httpx2.patch(url + path, content=b"y" * 1000, headers={"Upload-Offset": "0"})
        assert answer.json()["received"] == 1000


def test_a_form_that_stops_leaves_nothing(hasty):
    kind = "multipart/form-data; boundary=x"
    part = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + b"x" * 10**6
    )
    with listening(hasty.settings) as url:
        head = request("POST", "/v1/datasets", length=2 * 10**6, Content_Type=kind)
        with line(url, head, part) as opened:
            until(lambda: list(hasty.files.folder.glob("temporary/*")))
            assert problem_in(all_of(opened))[0] == 408
    until(lambda: not list(hasty.files.folder.glob("temporary/*")))


def hold(opened, url, path, count, *, method="PATCH", **headers):
    for _ in range(count):
        head = request(method, path, length=1000, **headers)
        opened.enter_context(line(url, head, b"x"))


@pytest.mark.parametrize("held", [16, 100])
def test_idle_uploads_stop_no_upload_and_no_file_of_a_worker(service, held):
    service.searching_job()
    assignment = claim(service).json()
    begun = [begin(service) for _ in range(3)]
    with listening(service.settings) as url, contextlib.ExitStack() as opened:
        hold(opened, url, f"/v1/uploads/{begun[0]}", held, Upload_Offset=0)
        kind = "multipart/form-data; boundary=x"
        hold(opened, url, "/v1/datasets", held // 4, method="POST", Content_Type=kind)
        time.sleep(1.2)
        begin_at = time.monotonic()
        path = f"/v1/uploads/{begun[1]}"
        offset = {"Upload-Offset": "0"}
        # As every client does: where all have sent something a moment ago, it has to come again.
        until(lambda: httpx2.patch(url + path, content=b"y", headers=offset).status_code == 200)
        path = f"/v1/attempts/{assignment['attempt']}/files/{sha256(b'onnx')}"
        fence = {"Fencing-Token": assignment["token"]}
        assert httpx2.put(url + path, content=b"onnx", headers=fence).status_code == 201
        others = form(npz(), name="others")
        until(lambda: httpx2.post(url + "/v1/datasets", **others).status_code == 201)
        assert time.monotonic() - begin_at < 40


def begin(service):
    return service.client.post("/v1/uploads", json={"size_bytes": 1000}).json()["id"]


def test_idle_files_of_workers_stop_no_upload_and_no_other_worker(service):
    service.searching_job(waiting=2)
    assignment = claim(service).json()
    fence = {"Fencing-Token": assignment["token"]}
    path = f"/v1/attempts/{assignment['attempt']}/files/{'0' * 64}"
    with listening(service.settings) as url, contextlib.ExitStack() as opened:
        hold(opened, url, path, 40, method="PUT", Fencing_Token=assignment["token"])
        path = path.replace("0" * 64, sha256(b"onnx"))
        assert httpx2.put(url + path, content=b"onnx", headers=fence).status_code == 201
        made = httpx2.post(url + "/v1/models", **form(b"no", **MODEL_FIELDS))
        assert made.json()["code"] == "InvalidWeights"


def test_inspections_have_a_line_of_their_own_that_is_bounded(sqlite_url, tmp_path):
    """One inspection that takes long; one more waits, the next has to come again."""
    slow = npz(x_train=pixels(400_000), y_train=np.arange(400_000) % 2)
    answers = []
    with (
        serve(sqlite_url, tmp_path, inspections=1, waiting_inspections=1) as service,
        listening(service.settings) as url,
    ):

        def upload(name):
            answers.append(httpx2.post(url + "/v1/datasets", **form(slow, name=name), timeout=60))

        senders = [threading.Thread(target=upload, args=(f"set-{i}",)) for i in range(5)]
        for sender in senders:
            sender.start()
        while any(sender.is_alive() for sender in senders):
            begin_at = time.monotonic()
            assert httpx2.get(url + "/v1/jobs").status_code == 200
            assert time.monotonic() - begin_at < 10
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 201
    assert statuses[-1] == 503
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.json()["code"] == "TooManyInspections"
    assert refused.headers["Retry-After"]
    assert not list(service.files.folder.glob("temporary/*"))


def pixels(count):
    return np.random.default_rng(0).integers(0, 256, (count, 4, 4), dtype=np.uint8)


def test_half_open_connections_give_way_to_others(sqlite_url, tmp_path):
    with (
        serve(sqlite_url, tmp_path, max_connections_per_address=20) as service,
        listening(service.settings) as url,
        contextlib.ExitStack() as opened,
    ):
        strangers = [opened.enter_context(line(url, HEAD)) for _ in range(60)]
        assert httpx2.get(url + "/healthz").status_code == 200
        # It is closed: with an answer, if its half of a header was read before.
        answer = all_of(strangers[0])
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408")


def test_one_connection_too_many_that_all_have_work_is_refused(sqlite_url, tmp_path):
    with (
        serve(sqlite_url, tmp_path, max_connections_per_address=8) as service,
        listening(service.settings) as url,
        contextlib.ExitStack() as opened,
    ):
        hold(opened, url, "/v1/jobs", 8, method="POST", Content_Type="application/json")
        time.sleep(0.3)
        with line(url) as one_more:
            status, problem = problem_in(all_of(one_more))
        assert (status, problem["code"]) == (503, "ServiceUnavailable")


@pytest.mark.parametrize(
    "sent",
    [
        b"no HTTP at all\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * connections.MAX_HEADER_BYTES,
    ],
)
def test_what_is_no_http_is_refused_without_a_traceback(service, caplog, sent):
    with listening(service.settings) as url, line(url, sent) as opened:
        assert problem_in(all_of(opened))[0] == 400
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_reader_that_has_stopped_is_not_waited_for(hasty):
    """Its answer is larger than what the two ends of a socket hold."""
    content = bytes(30_000_000)
    hasty.files.put([content], limit=len(content))
    path = f"/v1/files/{sha256(content)}"
    with listening(hasty.settings) as url:
        with line(url, request("GET", path, length=0)) as opened:
            time.sleep(4)
            assert len(all_of(opened)) < len(content)
        assert httpx2.get(url + path).content == content
