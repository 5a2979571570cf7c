"""Every command: what it prints, and what its exit status says."""

import io
import json
import signal
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from rich.console import Console

from featherweight import __version__
from featherweight.cli import tables
from featherweight.specs.schemas import FrontSchema, JobSchema, ReportSchema, WhySchema
from store.access import audit
from store.session import open_database
from tests import factories
from tests.e2e.conftest import TINY
from tests.running import COMMAND, call, environment, free_port, until


@pytest.fixture
def job_file(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return str(path)


@pytest.fixture
def job(run, job_file):
    return run("submit", job_file, "--json").json["id"]


@pytest.fixture(scope="module")
def searched(house):
    """A job with a baseline and one delivered search trial, straight in the database."""
    database = open_database(house.database_url, check_schema=False)
    with database.write() as session:
        record = factories.searching_job(session, data="searched")
        # Other tests have jobs, and workers that hold trials, in this house, too.
        record.priority = 100
        factories.deliver(session, factories.must_claim(session, "of-searched"))
        found = record.id
    database.dispose()
    return found


def test_submit_uploads_the_data_and_answers_with_the_job(run, job_file):
    done = run("submit", job_file, "--json", "--key", "a")
    job = JobSchema.model_validate(done.json)
    assert (done.status, done.err, job.name, job.state) == (0, "", "tiny", "queued")
    assert run("submit", job_file, "--json", "--key", "a").json["id"] == job.id
    assert f"job {job.id} (tiny): queued" in run("submit", job_file, "--key", "a").out


def test_a_dry_run_tells_the_space_and_the_trials(run, job_file):
    done = run("submit", job_file, "--dry-run")
    assert done.status == 0
    assert "filter_pruning.ratios.0: 0.0 to 0.7" in done.out
    assert "data: 1,078 train, 359 validation, 360 test; 10 classes (0, 1, 2" in done.out
    assert "images 1x8x8 (channels, height, width), uint8 from 0 to 16" in done.out
    assert "the model is built for images of 1 channel, 8x8 pixels and 10 classes" in done.out
    assert run("submit", job_file, "--dry-run", "--json").json["trials"]["finish"] == 1


def test_a_bound_that_keeps_nothing_out_is_a_warning_of_dry_run_and_submission(run, tmp_path):
    path = tmp_path / "slack.yaml"
    path.write_text(yaml.safe_dump(TINY | {"constraints": ["accuracy >= baseline - 1"]}))
    for flags in (["--dry-run"], []):
        done = run("submit", str(path), *flags)
        said = " ".join(done.out.split())
        assert "warning: accuracy >= baseline - 1: every candidate meets it" in said
        assert "'baseline - 1 point'" in said


def test_jobs_lists_the_newest_first(run, job):
    assert run("jobs", "--json", "--limit", "1").json[0]["id"] == job
    done = run("jobs")
    assert job[:8] in done.out
    assert done.out.splitlines()[0].split()[:3] == ["job", "name", "state"]


def test_what_is_stored_is_listed_by_owner_and_who_changed_it(run, job):
    assert run("jobs", "--owner", "alice", "--json").json == []
    for kind in ("models", "datasets"):
        assert run(kind, "--owner", "alice", "--json").json == []
    [data] = [one for one in run("datasets", "--json").json if one["name"].startswith("digits")]
    assert data["name"] in run("datasets").out
    [made] = run("audit", "--subject", job, "--json").json
    assert (made["actor"], made["action"], made["kind"]) == (None, "created", "job")
    assert job in run("audit", "--kind", "job").out
    assert run("audit", "--kind", "secret").status == 2


def test_a_job_is_cancelled_and_its_state_said(run, job):
    assert run("cancel", job, "--json").json["state"] in ("stopping", "cancelled")
    assert run("resume", job).status == 1


def test_a_front_is_a_table_or_json(run, searched):
    front = FrontSchema.model_validate(run("front", searched, "--json").json)
    done = run("front", searched)
    assert (done.status, done.err) == (0, "")
    for point in front.points:
        assert point.description in done.out
    assert "baseline" in done.out


def test_why_and_report_are_for_people_and_for_scripts(run, searched, house):
    front = run("front", searched, "--json").json
    trial = front["points"][0]["trial"]
    why = WhySchema.model_validate(run("why", trial, "--json").json)
    done = run("why", trial)
    assert why.reason in done.out
    assert ReportSchema.model_validate(run("report", searched, "--json").json).job == searched
    assert "trials: " in run("report", searched).out


def test_the_end_of_a_job_says_once_what_is_recommended(run, searched):
    found = FrontSchema.model_validate(run("front", searched, "--json").json)
    report = ReportSchema.model_validate(run("report", searched, "--json").json)
    console = Console(file=io.StringIO(), width=220)
    console.print(tables.result(found, report))
    printed = console.file.getvalue()
    assert printed.count(f"recommended: {found.recommendation}") == 1
    assert "trials: " in printed
    assert "recommended: " in run("report", searched).out


def test_a_download_of_what_is_not_on_disk_any_more_fails_and_leaves_nothing(
    run, searched, tmp_path
):
    # The factories record files that nobody stored.
    for form in ([], ["--target", "plain"]):
        done = run("download", searched, "--folder", str(tmp_path), *form)
        assert done.status == 1
        assert "NotFound" in done.err
        assert list(tmp_path.iterdir()) == []


def test_targets_are_listed_and_an_unknown_one_is_refused(run, searched, tmp_path):
    names = [target["name"] for target in run("targets", "--json").json]
    assert names == ["onnxruntime", "portable", "plain", "tensorrt"]
    out = run("targets").out
    assert "opset 13, IR 7" in out
    assert "unproven: never run in TensorRT" in out
    done = run("download", searched, "--folder", str(tmp_path), "--target", "ncnn")
    assert done.status != 0
    assert "expected one of onnxruntime, portable, plain" in done.err
    assert list(tmp_path.iterdir()) == []


def changes_in(url):
    """Actor and action of the whole log, newest first."""
    database = open_database(url, check_schema=False)
    with database.read() as session:
        rows, _ = audit.page(session, limit=200)
    database.dispose()
    return [(row.actor, row.action) for row in rows]


def test_tokens_are_made_listed_and_revoked_in_the_database(run, house, tmp_path):
    url = f"sqlite:///{tmp_path}/own.db"
    own = {"FEATHERWEIGHT_DATABASE_URL": url}
    assert run("migrate", "--json", **own).status == 0
    made = run("token", "create", "ci", "--scope", "read", "--scope", "submit", "--json").json
    assert made["secret"].startswith("fw_")
    assert made["scopes"] == ["read", "submit"]
    listed = run("token", "list", "--json").json
    assert [(token["id"], token["secret"]) for token in listed] == [(made["id"], None)]
    assert made["secret"] not in run("token", "list").out
    assert run("token", "revoke", made["id"]).status == 0
    assert changes_in(url) == [("command line", "revoked"), ("command line", "created")]
    assert run("token", "list", "--json").json[0]["revoked_at"] is not None
    assert run("token", "revoke", "none").status == 1
    assert run("token", "create", "x", "--scope", "everything").status == 2


def test_migrate_may_be_repeated_and_makes_the_tokens_of_the_environment_once(run, tmp_path):
    own = {"FEATHERWEIGHT_DATABASE_URL": f"sqlite:///{tmp_path}/own.db"}
    brought = {
        "FEATHERWEIGHT_ADMIN_TOKEN": "fw_admin_secret_of_a_test_that_is_long",
        "FEATHERWEIGHT_WORKER_TOKEN": "fw_worker_secret_of_a_test_that_is_long",
    }
    assert run("migrate", "--json", **own).json["has_tokens"] is False
    first = run("migrate", "--json", **brought).json
    assert (first["tokens_created"], first["has_tokens"]) == (["admin", "worker"], True)
    again = run("migrate", "--json").json
    assert (again["tokens_created"], again["has_tokens"]) == ([], True)
    scopes = {token["name"]: token["scopes"] for token in run("token", "list", "--json").json}
    assert scopes == {"admin": ["read", "submit", "work", "admin"], "worker": ["work"]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("a", "has 1 characters: a token needs 32 to 200"),
        ("x" * 31, "has 31 characters"),
        ("x" * 201, "has 201 characters"),
        ("fw_" + "é" * 40, "printable ASCII"),
        ("two words of a secret that is long enough", "no blanks"),
    ],
)
def test_a_token_of_the_environment_that_could_be_guessed_is_refused_before_anything(
    run, tmp_path, given, words
):
    database = tmp_path / "own.db"
    own = {
        "FEATHERWEIGHT_DATABASE_URL": f"sqlite:///{database}",
        "FEATHERWEIGHT_ADMIN_TOKEN": "fw_admin_secret_of_a_test_that_is_long",
        "FEATHERWEIGHT_WORKER_TOKEN": given,
    }
    refused = run("migrate", **own)
    assert refused.status == 1
    assert "FEATHERWEIGHT_WORKER_TOKEN" in refused.err
    assert words in " ".join(refused.err.split())
    assert len(given) < 20 or given not in refused.err
    assert not database.exists()


def test_a_token_may_be_made_for_some_days(run, tmp_path):
    own = {"FEATHERWEIGHT_DATABASE_URL": f"sqlite:///{tmp_path}/own.db"}
    assert run("migrate", **own).status == 0
    made = run("token", "create", "guest", "--scope", "read", "--days", "2", "--json").json
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=1.9) < left <= timedelta(days=2)
    assert "until" in run("token", "list").out
    assert run("token", "create", "guest", "--scope", "read", "--days", "0").status == 2
    for name in ("", "command line", "x" * 101, "a\nb"):
        assert "is no name" in run("token", "create", name, "--scope", "read").err


def test_version_and_schema_need_no_service(run):
    nowhere = {"FEATHERWEIGHT_URL": "http://127.0.0.1:1"}
    assert run("version", **nowhere).out == f"{__version__}\n"
    assert run("version", "--json").json == {"version": __version__}
    assert run("schema").json["title"] == "JobSpec"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["front", "00000000-0000-0000-0000-000000000000"], 1, "JobNotFound"),
        (["watch", "00000000-0000-0000-0000-000000000000", "--json"], 1, "JobNotFound"),
        (["submit", "nowhere.yaml"], 2, "cannot read nowhere.yaml: No such file or directory"),
        (["jobs", "--state", "sleeping"], 2, "sleeping"),
        (["cancel"], 2, "Missing argument"),
        (["levitate"], 2, "levitate"),
        (["up", "--json", "front.json"], 2, "--json writes the front of a --job"),
    ],
)
def test_a_mistake_is_one_message_and_a_status(run, arguments, status, words):
    done = run(*arguments)
    assert (done.status, done.out) == (status, "")
    assert words in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err


def test_a_job_that_the_service_refuses_is_invalid_input(run, tmp_path):
    path = tmp_path / "job.yaml"
    wide = {"filter_pruning": {"ratios": {"low": 0.0, "high": 2.0}}}
    path.write_text(yaml.safe_dump(TINY | {"techniques": wide}))
    done = run("submit", str(path), "--json")
    assert (done.status, done.out) == (2, "")
    assert "InvalidSpace" in done.err
    assert "ratios" in done.err


def test_a_service_that_is_away_has_a_status_of_its_own(run):
    done = run("jobs", "--json", FEATHERWEIGHT_URL=f"http://127.0.0.1:{free_port()}")
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith("featherweight: no answer from http://127.0.0.1:")
    assert len(done.err.splitlines()) == 1


def test_a_database_without_tables_is_told_how_to_get_them(run, tmp_path):
    url = f"sqlite:///{tmp_path}/empty.db"
    done = run("token", "list", "--json", FEATHERWEIGHT_DATABASE_URL=url)
    assert (done.status, done.out) == (1, "")
    assert "featherweight migrate" in done.err


def test_settings_that_are_wrong_are_named(tmp_path):
    done = call("worker", FEATHERWEIGHT_WORKER_NAME="no spaces please")
    assert done.returncode == 2
    assert "worker_name" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def listening():
    """Children hear Ctrl+C, also where whoever started the tests in the background let it pass."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_ctrl_c_ends_a_watch_with_its_own_status(house, job, tmp_path):
    out = tmp_path / "events"
    with out.open("wb") as file:
        process = subprocess.Popen(
            [*COMMAND, "watch", job, "--json"],
            env=environment(**house.settings),
            stdout=file,
            stderr=subprocess.PIPE,
        )
    until(lambda: out.read_bytes().endswith(b"\n"))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"")
    assert json.loads(out.read_text().splitlines()[0])["type"] == "job.queued"
