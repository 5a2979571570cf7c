"""Optuna's dashboard: a process of its own behind the service, for reading only."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import httpx2
import optuna
import pytest
from optuna.storages import RDBStorage

from service.dashboard import app
from service.dashboard.proxy import SECRET_HEADER
from service.settings import ServiceSettings
from store.access import shared_secrets
from store.database import clock
from store.session import open_database
from store.tables.records import SecretRecord
from tests.conftest import address, run_on_server
from tests.service.running import BROWSER, Service, problem, serve, until

COMMAND = "from service.dashboard import app; app.run()"
SECRET = "the_secret_of_a_dashboard_in_a_test"
STRANGE_HOSTS = ("example.org", "127.0.0.1.example.org", "localhost.example.org:8001", "[::1", "")
FOREIGN = ("authorization", "cookie")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def make_study(url: str) -> None:
    """A study with a feasible trial and a better one that violates a constraint."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = RDBStorage(url)
    study = optuna.create_study(
        storage=storage, study_name="a-job", directions=["maximize", "minimize"]
    )
    for values, violation in (((0.8, 300.0), -0.1), ((0.9, 200.0), 0.2)):
        trial = study.ask()
        trial.suggest_float("ratio", 0, 1)
        trial.set_constraint("accuracy", violation)
        study.tell(trial, values)
    storage.remove_session()
    storage.engine.dispose()


@pytest.fixture(scope="module")
def study_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('studies')}/studies.db"
    make_study(url)
    return url


def share_secret(database_url: str) -> None:
    """Let the services of these tests have the secret of their dashboard."""
    database = open_database(database_url)
    with database.write() as session:
        session.add(
            SecretRecord(name=shared_secrets.DASHBOARD, value=SECRET, created_at=clock.utc_now())
        )
    database.dispose()


@pytest.fixture(scope="module")
def dashboard_url(
    study_url: str, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of a real dashboard process on a real study."""
    port = free_port()
    database = tmp_path_factory.mktemp("dashboard") / "featherweight.db"
    shutil.copy(sqlite_template, database)
    share_secret(f"sqlite:///{database}")
    environment = os.environ | {
        "FEATHERWEIGHT_DATABASE_URL": f"sqlite:///{database}",
        "FEATHERWEIGHT_STUDY_URL": study_url,
        "FEATHERWEIGHT_DASHBOARD_PORT": str(port),
    }
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([sys.executable, "-c", COMMAND], env=environment) as process:
        until(lambda: process.poll() is None and answers(url), seconds=60)
        yield url
        process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz", timeout=5).json() == {"status": "ok"}
    except httpx2.TransportError:
        return False


@pytest.fixture
def service(sqlite_url: str, dashboard_url: str, tmp_path: Path) -> Iterator[Service]:
    """A service in front of the dashboard."""
    share_secret(sqlite_url)
    with serve(sqlite_url, tmp_path, dashboard_url=dashboard_url) as running:
        yield running


def test_the_dashboard_is_reached_under_our_address(service):
    page = service.client.get("/dashboard", headers=BROWSER)
    assert page.status_code == 200
    assert "Optuna Dashboard" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    bundle = service.client.get("/static/bundle.js", headers={"Accept-Encoding": "gzip"})
    assert bundle.status_code == 200
    assert len(bundle.content) > 1_000_000
    assert bundle.headers["Content-Encoding"] == "gzip"
    plain = service.client.get("/static/bundle.js", headers={"Accept-Encoding": ""})
    assert plain.content == bundle.content
    assert service.client.get("/dashboard/studies/1").status_code == 200
    assert service.client.get("/readyz").json()["dependencies"]["dashboard"] == "ok"


def test_it_shows_the_study_and_only_feasible_trials_as_best(service):
    [study] = service.client.get("/api/studies").json()["study_summaries"]
    assert study["study_name"] == "a-job"
    detail = service.client.get(f"/api/studies/{study['study_id']}").json()
    assert [trial["number"] for trial in detail["trials"]] == [0, 1]
    assert [trial["constraints"] for trial in detail["trials"]] == [[-0.1], [0.2]]
    assert [trial["number"] for trial in detail["best_trials"]] == [0]


def test_nobody_can_change_anything_through_it(service, dashboard_url):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        ours = service.client.request(method, "/api/studies/1", json={})
        problem(ours, 405, "MethodNotAllowed")
        direct = httpx2.request(
            method, f"{dashboard_url}/api/studies/1", json={}, headers={SECRET_HEADER: SECRET}
        )
        problem(direct, 405, "MethodNotAllowed")
    assert len(service.client.get("/api/studies").json()["study_summaries"]) == 1


def test_its_own_port_answers_nobody_but_the_service(dashboard_url):
    for path in ("/api/studies", "/dashboard", "/static/bundle.js", "/nothing"):
        for shown in ({}, {SECRET_HEADER: "wrong"}, {"Authorization": f"Bearer {SECRET}"}):
            answer = httpx2.get(dashboard_url + path, headers=shown)
            assert (
                "/dashboard at the address of the service"
                in problem(answer, 401, "NotAuthenticated")["detail"]
            )
    known = httpx2.get(f"{dashboard_url}/api/studies", headers={SECRET_HEADER: SECRET})
    assert [one["study_name"] for one in known.json()["study_summaries"]] == ["a-job"]


@pytest.mark.parametrize("host", STRANGE_HOSTS)
@pytest.mark.parametrize("path", ["/api/studies", "/healthz", "/dashboard"])
def test_a_page_that_gave_itself_our_address_is_refused(dashboard_url, host, path):
    port = int(dashboard_url.rpartition(":")[2])
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (403, "HostNotAllowed")
    connection.close()


def test_nobody_can_frame_what_it_answers(dashboard_url, service):
    known = {SECRET_HEADER: SECRET}
    for path in ("/dashboard", "/api/studies", "/artifacts/1/none"):
        for answer in (
            httpx2.get(dashboard_url + path, headers=known),
            httpx2.get(dashboard_url + path),
            service.client.get(path),
        ):
            assert answer.headers["X-Frame-Options"] == "DENY", path
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path


def test_a_dashboard_of_another_database_is_said_to_be_one(sqlite_url, dashboard_url, tmp_path):
    with serve(sqlite_url, tmp_path, dashboard_url=dashboard_url) as service:
        found = problem(service.client.get("/dashboard"), 503, "DashboardUnavailable")
        assert "another secret" in found["detail"]
        assert service.client.get("/readyz").json()["dependencies"]["dashboard"] != "ok"


def test_its_storage_and_its_connection_refuse_writers(study_url):
    # The layers below the methods: each would hold without the one above it.
    storage = app.ReadOnlyStorage(app._open(study_url))
    for name in app._WRITERS:
        with pytest.raises(PermissionError, match=name):
            getattr(storage, name)()
    with pytest.raises(optuna.exceptions.StorageInternalError):
        storage._backend.create_new_study([optuna.study.StudyDirection.MINIMIZE], "new")
    storage._backend.remove_session()
    storage._backend.engine.dispose()


def test_it_is_for_those_who_may_read(service):
    headers = service.token("work")
    problem(service.client.get("/api/studies", headers=headers), 403, "ScopeMissing")
    problem(service.client.get("/api/studies"), 401, "NotAuthenticated")
    led = service.client.get("/dashboard", headers=BROWSER, follow_redirects=False)
    assert led.headers["Location"] == "/login?next=%2Fdashboard"
    assert service.client.get("/api/studies", headers=service.token("read")).status_code == 200


def test_what_lies_in_its_artifacts_cannot_run_as_our_page(service):
    answer = service.client.get("/artifacts/1/none")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_without_its_process_there_is_a_problem_and_everything_else_works(sqlite_url, tmp_path):
    address = f"http://127.0.0.1:{free_port()}"
    with serve(sqlite_url, tmp_path, dashboard_url=address) as service:
        answer = service.client.get("/dashboard")
        found = problem(answer, 503, "DashboardUnavailable")
        assert "featherweight dashboard" in found["detail"]
        assert service.client.get("/v1/jobs").status_code == 200


def test_neither_token_nor_cookie_reaches_it(sqlite_url, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with serve(sqlite_url, tmp_path, dashboard_url=address) as service:
            headers = service.token("read") | {
                "Cookie": "featherweight_token=x",
                "Accept": "text/x",
            }
            asked = asked_of(
                listener, lambda: service.client.get("/api/studies?a=b%20c", headers=headers)
            )
    first, *lines = asked.decode().lower().split("\r\n")
    assert first == "get /api/studies?a=b%20c http/1.1"
    assert "accept: text/x" in lines
    assert not [line for line in lines if line.startswith(FOREIGN)]


def asked_of(listener: socket.socket, ask: Callable[[], object]) -> bytes:
    """The request that reaches the socket while ``ask`` runs; it is answered with nothing."""
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        connection, _ = listener.accept()
        with connection:
            request = connection.recv(65536)
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        asking.result(timeout=10)
    return request


def test_without_studies_it_says_what_to_do(tmp_path):
    settings = ServiceSettings(study_url=f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(SystemExit, match="featherweight migrate"):
        app.run(settings)
    assert not (tmp_path / "none.db").exists()


def test_it_reads_studies_on_postgresql_through_a_connection_that_cannot_write(postgresql_server):
    run_on_server(postgresql_server, "CREATE DATABASE {}", "dashboard_studies")
    url = address(postgresql_server, "dashboard_studies")
    make_study(url)
    backend = app._open(url)
    assert len(app.ReadOnlyStorage(backend).get_all_trials(1)) == 2
    with pytest.raises(optuna.exceptions.StorageInternalError):
        backend.create_new_study([optuna.study.StudyDirection.MINIMIZE], "new")
    backend.remove_session()
    backend.engine.dispose()
    run_on_server(postgresql_server, "DROP DATABASE {} WITH (FORCE)", "dashboard_studies")


@pytest.mark.parametrize("path", ["/api/studies/999", "/static/none.js", "/api/none", "/csv/999"])
def test_its_errors_are_problems_like_every_other(service, path):
    answer = service.client.get(path)
    found = problem(answer, answer.status_code, answer.json()["code"])
    assert 400 <= found["status"] < 600
    assert found["reason"] == found["detail"]
    assert service.client.head(path).status_code == answer.status_code


@pytest.mark.parametrize(
    ("head", "status", "code", "words"),
    [
        (b"500 Oops", 502, "DashboardFailed", "Bad Gateway"),
        (b"799 Odd", 502, "DashboardFailed", "Bad Gateway"),
        (b"418 Tea", 418, "I'MATeapot", "says: short and stout"),
    ],
)
def test_whatever_it_answers_becomes_a_problem(sqlite_url, tmp_path, head, status, code, words):
    body = b'{"reason": "short and stout"}' if head.startswith(b"418") else b"<html>\xff"
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with serve(sqlite_url, tmp_path, dashboard_url=address) as service:
            asking = pool.submit(service.client.get, "/api/studies")
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                length = b"\r\nContent-Length: %d\r\n\r\n" % len(body)
                connection.sendall(b"HTTP/1.1 " + head + length + body)
            answer = asking.result(timeout=10)
    assert words in problem(answer, status, code)["detail"]
