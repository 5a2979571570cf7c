"""What a user may write for a job and a trial, and what is said if it fits none or several."""

import pytest

from featherweight.specs.states import JobState
from store.jobs import jobs
from store.session import open_database
from tests import factories


@pytest.fixture(scope="module")
def made(house):
    """Ids of the jobs `digits`, `twins`, a newer `twins` and `Größe 42`, none of them running."""
    database = open_database(house.database_url, check_schema=False)
    with database.write() as session:
        digits = factories.searching_job(session, name="digits", data="named")
        found = [digits.id]
        found += [
            factories.job(session, name=name, data="named").id
            for name in ("twins", "twins", "Größe 42")
        ]
        jobs.move(session, digits, JobState.PAUSED)
        for _ in range(16):  # of so many ids two begin with the same character
            factories.job(session, data="named")
    database.dispose()
    return found


def test_a_job_is_named_by_its_name_the_beginning_of_its_id_or_its_id(run, made):
    digits = made[0]
    for given in ("digits", digits[:8], digits[:9].upper(), digits):
        done = run("front", given, "--json")
        assert (done.status, done.err, done.json["job"]) == (0, "", digits)
    assert run("front", "Größe 42", "--json").json["job"] == made[3]
    assert run("report", "Gro\u0308ße 42", "--json").json["job"] == made[3]


def test_a_table_of_jobs_shows_ids_that_commands_take(run, made):
    lines = run("jobs", "--limit", "100").out.splitlines()
    [line] = [line for line in lines if "Größe 42" in line]
    assert run("front", line.split()[0], "--json").json["job"] == made[3]


def test_a_trial_is_named_by_its_job_and_number(run, made):
    done = run("why", "digits", "0", "--json")
    assert done.json["state"] == "complete"
    assert run("why", done.json["trial"], "--json").json == done.json
    wrong = run("why", "digits", "23")
    assert wrong.status == 1
    assert f"job {made[0][:8]} (digits) has no trial 23: its trials are 0 to 1" in wrong.err
    assert "it has no trials yet" in run("why", "Größe 42", "0").err


def test_the_newest_of_a_name_is_shown_and_that_is_said(run, made):
    done = run("front", "twins", "--json")
    assert done.json["job"] == made[2]
    assert f"the newest, {made[2][:8]}; the others: {made[1][:8]}" in done.err


@pytest.mark.parametrize("command", [["cancel"], ["delete", "--yes"], ["pause"], ["resume"]])
def test_no_job_is_changed_on_a_guess(run, made, command):
    done = run(*command, "twins")
    assert (done.status, done.out) == (2, "")
    assert "'twins' fits several jobs; give more of an id:" in done.err
    assert made[1] in done.err
    assert made[2] in done.err


def test_what_fits_no_job_is_answered_with_what_is_nearly_so(run, made):
    for given, words in {
        "digist": f"did you mean 'digits' ({made[0][:8]})?",
        "zzz": "featherweight jobs lists them",
        "-x" * 60: "",
        "a\x1b[2J": "no job is named",
    }.items():
        done = run("front", "--", given)
        assert (done.status, done.out) == (1, "")
        assert words in done.err
        assert "\x1b" not in done.err


def test_a_beginning_that_several_ids_have_is_refused_even_by_what_only_looks(run, made):
    firsts = [one["id"][0] for one in run("jobs", "--limit", "100", "--json").json]
    done = run("front", max(firsts, key=firsts.count))
    assert done.status == 2
    assert "fits several jobs" in done.err


def test_only_the_recommended_file_is_asked_for(run, made, tmp_path):
    # The factories record files that nobody stored: the refusal says which one was asked for.
    done = run("download", "digits", "--recommended", "--folder", str(tmp_path))
    assert (done.status, "ArtifactNotFound" in done.err) == (1, True)
    none = run("download", "Größe 42", "--recommended", "--folder", str(tmp_path))
    assert none.status == 1
    assert "has no file to take" in none.err
    assert list(tmp_path.iterdir()) == []
