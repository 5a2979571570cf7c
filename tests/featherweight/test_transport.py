"""Retries, errors and downloads, against a server that misbehaves on purpose."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from featherweight import errors
from featherweight.client.transport import Call, RetryPolicy, Transport, chunks, content
from tests.running import QUICK, free_port

Answer = Callable[[BaseHTTPRequestHandler], None]


class Scripted(ThreadingHTTPServer):
    """Gives one scripted answer per request and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[Answer] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Scripted  # pyright: ignore[reportIncompatibleVariableOverride]

    def _answer(self) -> None:
        self.server.headers.append(dict(self.headers))
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.server.script.pop(0)(self)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815 (the standard library's names)

    def log_message(self, format: str, *args: object) -> None:
        pass


def says(status: int, body: bytes = b"{}", **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def hangs_up(request: BaseHTTPRequestHandler) -> None:
    request.connection.close()


def breaks_off(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "100")
    request.end_headers()
    request.wfile.write(b"half")
    request.close_connection = True


def problem(status: int, code: str, **more: object) -> Answer:
    document = {"title": "no", "status": status, "code": code, "detail": "because", **more}
    return says(status, json.dumps(document).encode(), Content_Type="application/problem+json")


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def transport(server: Scripted) -> Iterator[Transport]:
    found = Transport(server.url, token="secret", retry=QUICK)
    yield found
    found.close()


GET = Call(method="GET", path="/thing")


def test_a_call_is_tried_again_after_a_broken_line_and_a_busy_service(server, transport):
    server.script = [hangs_up, says(503), says(200, b'"here"')]
    assert transport.send(GET).json() == "here"
    assert [headers["Authorization"] for headers in server.headers] == ["Bearer secret"] * 3


def test_a_call_that_must_not_be_repeated_is_sent_once(server, transport):
    server.script = [says(503)]
    with pytest.raises(errors.ServiceUnavailable):
        transport.send(Call(method="POST", path="/thing", idempotent=False))
    assert len(server.bodies) == 1


def test_the_policy_gives_up_after_its_attempts(server, transport):
    server.script = [says(502)] * 3
    with pytest.raises(errors.ServiceUnavailable, match="502"):
        transport.send(GET)
    assert server.script == []


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504, 507])
def test_what_may_pass_is_no_refusal(server, transport, status):
    server.script = [problem(status, "StorageFull"), says(200, b'"here"')]
    assert transport.send(GET).json() == "here"
    server.script = [problem(status, "StorageFull")] * 3
    with pytest.raises(errors.ServiceUnavailable, match="StorageFull: because"):
        transport.send(GET)


def test_an_answer_that_is_no_problem_document_is_not_the_services_own(server, transport):
    server.script = [says(404, b"<h1>nginx</h1>"), problem(404, "JobNotFound")]
    with pytest.raises(errors.NotFound) as raised:
        transport.send(GET)
    assert raised.value.is_foreign
    with pytest.raises(errors.NotFound) as raised:
        transport.send(GET)
    assert not raised.value.is_foreign


def test_a_file_is_sent_whole_again_when_the_first_try_failed(server, transport, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 10)
    headers = {"Content-Length": "2560"}
    server.script = [says(503), says(200)]
    transport.send(Call(method="PUT", path="/x", headers=headers, body=lambda: content(file)))
    assert server.bodies == [file.read_bytes()] * 2


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "Unauthorised", errors.Unauthorised),
        (403, "MissingScope", errors.Forbidden),
        (404, "JobNotFound", errors.NotFound),
        (409, "IdempotencyConflict", errors.Conflict),
        (409, "StaleAttempt", errors.StaleAttempt),
        (413, "FileTooLarge", errors.TooLarge),
        (422, "InvalidSpace", errors.Invalid),
        (500, "InternalError", errors.ApiError),
    ],
)
def test_a_problem_becomes_an_error_of_its_kind(server, transport, status, code, kind):
    server.script = [problem(status, code)]
    with pytest.raises(errors.ApiError, match=f"{code}: because") as raised:
        transport.send(GET)
    assert type(raised.value) is kind
    assert (raised.value.code, raised.value.status) == (code, status)


def test_the_places_of_a_problem_are_part_of_its_message(server, transport):
    wrong = {"loc": ["body", "budget", "trials"], "msg": "must be at least 2"}
    server.script = [problem(422, "RequestValidationError", errors=[wrong])]
    with pytest.raises(errors.Invalid, match=r"body\.budget\.trials: must be at least 2"):
        transport.send(GET)


def test_an_error_page_that_is_no_problem_is_still_told(server, transport):
    server.script = [says(418, b"<h1>teapot</h1>")]
    with pytest.raises(errors.ApiError, match="HTTP 418: <h1>teapot</h1>"):
        transport.send(GET)


def test_a_service_that_is_not_there_is_said_to_be_unavailable():
    transport = Transport(f"http://127.0.0.1:{free_port()}", retry=QUICK)
    with pytest.raises(errors.ServiceUnavailable, match="no answer from http://127"):
        transport.send(GET)
    transport.close()


def test_an_address_that_is_none_is_said_to_be_wrong():
    transport = Transport("ftp://somewhere", retry=QUICK)
    with pytest.raises(errors.FeatherweightError, match="'ftp://somewhere' is not an HTTP address"):
        transport.send(GET)
    transport.close()


def test_a_download_that_broke_off_is_fetched_again_and_verified(server, transport, tmp_path):
    digest = hashlib.sha256(b"whole").hexdigest()
    server.script = [breaks_off, says(200, b"whole")]
    assert transport.download("/file", tmp_path / "file", sha256=digest) == digest
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_a_download_with_other_bytes_leaves_nothing_behind(server, transport, tmp_path):
    server.script = [says(200, b"forged")]
    with pytest.raises(errors.DigestMismatch):
        transport.download("/file", tmp_path / "file", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_download_is_verified_against_the_etag_where_no_digest_is_given(
    server, transport, tmp_path
):
    digest = hashlib.sha256(b"whole").hexdigest()
    server.script = [says(200, b"whole", ETag=f'"{digest}"'), says(200, b"other", ETag='"x"')]
    transport.download("/file", tmp_path / "file")
    with pytest.raises(errors.DigestMismatch):
        transport.download("/file", tmp_path / "other")


def test_pauses_grow_up_to_the_most_and_end_with_the_attempts():
    policy = RetryPolicy(attempts=12, base_seconds=0.1, most_seconds=2.0)
    pauses = [policy.pause(tried) for tried in range(1, 13)]
    assert all(0.1 <= pause <= 2.0 for pause in pauses[:-1])
    assert pauses[-1] is None
    assert RetryPolicy(attempts=None).pause(10_000) is not None


def test_chunks_are_the_bytes_asked_for(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    assert b"".join(chunks(file, start=3, size=4)) == b"3456"
    assert b"".join(chunks(file, start=8)) == b"89"
