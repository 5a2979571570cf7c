"""The process: what it loads, whether it may start, how it feels."""

import pytest
from fastapi.testclient import TestClient

from service import main
from service.app import create_app
from service.main import RefusedToStart
from service.settings import ServiceSettings, is_loopback
from store.access import tokens
from store.cluster import leader, liveness
from store.errors import SchemaOutdated
from store.session import Database
from store.tables.records import LeaderRecord
from tests.service.running import LOOPBACK, claim, problem, until


def test_readiness_names_every_dependency(either_service):
    service = either_service
    answer = service.client.get("/readyz")
    assert answer.status_code == 200
    found = answer.json()
    assert found.pop("free_bytes") > 0
    assert found == {
        "ready": True,
        "dependencies": {
            "database": "ok",
            "schema": "ok",
            "files": "ok",
            "searcher": "failed",
            "dashboard": "failed",
        },
    }
    with service.database.write() as session:
        leader.take(session, "me", lease_seconds=60)
    # The answer is kept for a second.
    until(lambda: service.client.get("/readyz").json()["dependencies"]["searcher"] == "ok")


@pytest.mark.parametrize(
    "statement",
    ["UPDATE fw_alembic_version SET version_num = 'older'", "DROP TABLE fw_alembic_version"],
)
def test_a_service_whose_schema_is_not_this_versions_is_not_ready(either_service, statement):
    with either_service.database.write() as session:
        session.connection().exec_driver_sql(statement)
    answer = either_service.client.get("/readyz")
    assert answer.status_code == 503
    found = answer.json()["dependencies"]
    assert (found["database"], found["schema"]) == ("ok", "failed")


def test_a_service_whose_files_cannot_be_written_is_not_ready(service):
    service.files.folder.write_text("a file where the folder should be")
    answer = service.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert answer.json()["dependencies"]["files"] == "failed"


def test_a_database_that_was_cut_off_answers_again(database_url, tmp_path, cut_connections):
    settings = ServiceSettings(database_url=database_url, files=tmp_path)
    with TestClient(create_app(settings), base_url=LOOPBACK) as client:
        assert client.get("/v1/jobs").status_code == 200
        cut_connections(database_url)
        assert client.get("/v1/jobs").status_code == 200


def test_a_database_that_does_not_answer_is_a_problem_with_a_time_to_come_back(service):
    with service.database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE fw_jobs RENAME TO gone")
    answer = service.client.get("/v1/jobs")
    found = problem(answer, 503, "DatabaseUnavailable")
    assert "fw_jobs" not in found["detail"]
    assert answer.headers["Retry-After"]
    assert service.client.get("/healthz").status_code == 200


def test_an_unexpected_error_shows_nothing_of_our_insides(service):
    app = service.client.app

    def explode() -> None:
        raise ZeroDivisionError("a secret")

    app.add_api_route("/explode", explode)
    with TestClient(app, base_url=LOOPBACK, raise_server_exceptions=False) as client:
        answer = client.get("/explode")
    problem(answer, 500, "InternalError")
    assert "secret" not in answer.text


def metric(text: str, name: str) -> float:
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])


def test_metrics_count_jobs_trials_attempts_and_requests(either_service):
    service = either_service
    job = service.searching_job(waiting=3)
    claim(service)
    service.client.get(f"/v1/jobs/{job}")
    service.client.get("/v1/jobs/none")
    text = service.client.get("/metrics").text
    assert metric(text, 'featherweight_jobs{state="running"}') == 1
    assert metric(text, 'featherweight_trials{state="waiting"}') == 2
    assert metric(text, 'featherweight_trials{state="complete"}') == 1
    assert metric(text, "featherweight_queue_depth") == 2
    assert metric(text, "featherweight_active_attempts") == 1
    assert metric(text, "featherweight_lease_expiries_total") == 0
    assert metric(text, "featherweight_claim_seconds_count") == 1
    requests = 'featherweight_request_seconds_count{method="GET",route="/v1/jobs/{job_id}",status='
    assert metric(text, requests + '"200"}') == 1
    assert metric(text, requests + '"404"}') == 1
    assert job not in text


def test_it_refuses_to_be_reachable_by_others_without_tokens(sqlite_url, tmp_path):
    open_to_all = ServiceSettings(database_url=sqlite_url, files=tmp_path, host="0.0.0.0")
    with pytest.raises(RefusedToStart, match="featherweight token create"):
        main.check(open_to_all)
    with pytest.raises(SystemExit, match="featherweight token create"):
        main.run(open_to_all)
    database = Database(sqlite_url)
    with database.write() as session:
        tokens.create(session, name="first", scopes=("admin",))
    database.dispose()
    main.check(open_to_all)


def test_it_refuses_an_old_schema_and_says_what_to_do(tmp_path):
    settings = ServiceSettings(database_url=f"sqlite:///{tmp_path}/none.db", files=tmp_path)
    with pytest.raises(SchemaOutdated, match="featherweight migrate"):
        main.check(settings)
    with pytest.raises(SystemExit, match="featherweight migrate"):
        main.run(settings)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_only_names_of_this_machine_are_loopback(host, expected):
    assert is_loopback(host) is expected


def test_the_dashboard_is_one_port_further_unless_told_otherwise(sqlite_url):
    plain = ServiceSettings(database_url=sqlite_url, port=9000)
    assert plain.dashboard_address == "http://127.0.0.1:9001"
    told = ServiceSettings(database_url=sqlite_url, dashboard_url="http://dashboard:8001/")
    assert told.dashboard_address == "http://dashboard:8001"


def test_a_running_service_gives_signs_of_life(service):
    def noted():
        with service.database.read() as session:
            return session.get(LeaderRecord, liveness.SERVICE)

    until(lambda: noted() is not None)
    first = noted().lease_until
    until(lambda: noted().lease_until > first)
    with service.database.read() as session:
        assert not liveness.service_is_silent(session)
