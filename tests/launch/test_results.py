"""What a job found, on the command line: its trials, as CSV too, and the file to take."""

import csv
import io

import pytest

from store.jobs import jobs
from store.session import open_database
from store.trials import trials
from tests import factories


@pytest.fixture(scope="module")
def job(house):
    """A job with a baseline, a delivered search trial, and one that waits with a hostile reason."""
    database = open_database(house.database_url, check_schema=False)
    with database.write() as session:
        record = factories.searching_job(session, name="results", data="results", waiting=2)
        # Other tests have jobs, and workers that hold trials, in this house, too.
        record.priority = 100
        factories.deliver(session, factories.must_claim(session, "of-results"))
        trials.of_job(session, record.id)[-1].reason = '=HYPERLINK("http://x")'
        empty = factories.job(session, name="nothing yet", data="results").id
        jobs.pause(session, record.id)
        found = record.id
    database.dispose()
    return found, empty


def test_trials_are_a_table_json_and_csv(run, job):
    listed = run("trials", "results", "--json").json
    assert [one["number"] for one in listed] == [0, 1, 2]
    lines = run("trials", "results").out.splitlines()
    assert lines[0].split()[:3] == ["trial", "phase", "state"]
    assert len(lines) == 4
    assert [
        one["number"] for one in run("trials", "results", "--state", "waiting", "--json").json
    ] == [2]
    done = run("trials", "results", "--csv")
    assert (done.status, done.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    for row, one in zip(rows, listed, strict=True):
        assert (row["id"], row["state"], row["phase"]) == (one["id"], one["state"], one["phase"])
        measured = one["measurement"]
        assert row["size_bytes"] == ("" if measured is None else str(measured["size_bytes"]))
        assert row["accuracy"] == (
            "" if measured is None else str(measured["accuracy"]["validation"])
        )
    assert rows[0]["feasible"] == "true"


def test_no_cell_of_the_csv_is_a_formula(run, job):
    assert "'=HYPERLINK" in run("trials", "results", "--csv").out
    assert run("trials", "results", "--csv", "--json").status == 2


def test_the_file_to_take_is_said_with_its_reason_and_the_way_to_it(run, job):
    found = run("recommend", "results", "--json").json
    done = run("recommend", "results")
    assert found["text"] in done.out
    assert f"featherweight download {job[0]} --recommended" in done.out
    none = run("recommend", "nothing yet")
    assert (none.status, none.out) == (1, "")
    assert "has no file" in none.err


def test_two_jobs_stand_beside_each_other_with_what_hinders_it(run, job):
    found = run("compare", "results", "nothing yet", "--json").json
    assert [side["name"] for side in found["jobs"]] == ["results", "nothing yet"]
    assert [side["files"] > 0 for side in found["jobs"]] == [True, False]
    assert found["jobs"][0]["dominated"] == 0
    accuracy = next(one for one in found["figures"] if one["metric"]["name"] == "accuracy")
    assert accuracy["values"][0] is not None
    assert accuracy["values"][1] is None
    assert any("its front may still grow" in note for note in found["notes"])
    text = run("compare", "results", "nothing yet").out
    assert f"results ({job[0][:8]})" in text
    assert "note: results" in text
    same = run("compare", "results", "results", "--json").json
    assert [side["dominated"] for side in same["jobs"]] == [0, 0]
    assert run("compare", "results", "no such").status == 1
