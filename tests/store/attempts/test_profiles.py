"""Profiles: who may bring one, what must fit, and that it is written once, on both databases."""

import pytest
from sqlalchemy import func, select

from compress.techniques.candidate import Candidate
from compress.values.revision import FIRST_REVISION
from featherweight.specs.protocol import Assignment
from featherweight.specs.states import Phase, TrialState
from store.attempts import attempts, profiles
from store.errors import FileMismatch
from store.files import artifacts
from store.jobs import jobs
from store.tables.records import ProfileRecord
from store.trials import trials
from tests import factories


def at_profile(session, **changes):
    """A job whose baseline is measured, in the phase of its profile; the trial waits."""
    job = factories.searching_job(session, waiting=0, **(factories.PROFILED | changes))
    jobs.set_phase(session, job, Phase.PROFILE)
    factories.trial(
        session, job, phase=Phase.PROFILE, origin="profile", candidate=Candidate(), rungs=(0,)
    )
    return job


def send(session, mine, what):
    return attempts.report(session, mine.attempt, mine.token, what, decide=factories.climb)


def count(session):
    return session.scalar(select(func.count()).select_from(ProfileRecord))


def test_a_profile_becomes_the_job_s_and_is_kept_with_its_file(database):
    with database.write() as session:
        job = at_profile(session)
        mine = factories.must_claim(session)
        what = factories.report_of(session, mine)
        send(session, mine, what)
        assert what.profile is not None
        assert jobs.get(session, job.id).profile_sha256 == what.profile.digest()
        assert profiles.of_job(session, jobs.get(session, job.id)) == what.profile
        assert trials.get(session, mine.trial).state == TrialState.COMPLETE
        kept = {file.role: file.sha256 for file in artifacts.of_trial(session, mine.trial)}
        assert kept["profile"] == what.profile.digest()


def test_the_assignment_of_probing_survives_its_json(database):
    with database.write() as session:
        at_profile(session)
        mine = factories.must_claim(session)
    assert mine.profile_task is not None
    assert mine.profile_task.images == 80
    assert Assignment.model_validate_json(mine.model_dump_json()) == mine


def test_other_trials_are_told_nothing_of_probing_and_may_bring_no_profile(database):
    with database.write() as session:
        job = factories.searching_job(session)
        mine = factories.must_claim(session)
        assert mine.profile_task is None
        own = factories.profile_document()
        what = factories.report_of(session, mine)
        file = factories.profile_file(session, own)
        for changes in ({"profile": own}, {"files": (*what.files, file)}):
            with pytest.raises(FileMismatch, match="only a trial that probes"):
                send(session, mine, what.model_copy(update=changes))
        assert count(session) == 0
        assert jobs.get(session, job.id).profile_sha256 is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights_sha256": "f" * 64}, "of other weights or other data"),
        ({"data_sha256": "f" * 64}, "of other weights or other data"),
    ],
)
def test_a_profile_of_something_else_is_refused(database, changes, words):
    with database.write() as session:
        at_profile(session)
        mine = factories.must_claim(session)
        what = factories.report_of(session, mine)
        odd = factories.profile_of(mine, **changes)
        files = (what.files[0], factories.profile_file(session, odd))
        with pytest.raises(FileMismatch, match=words):
            send(session, mine, what.model_copy(update={"profile": odd, "files": files}))
        assert count(session) == 0


def test_a_profile_and_its_file_must_be_one_and_both_must_come(database):
    with database.write() as session:
        at_profile(session)
        mine = factories.must_claim(session)
        what = factories.report_of(session, mine)
        other = factories.profile_of(mine, seconds=9.0)
        with pytest.raises(FileMismatch, match="the profile has the digest"):
            send(session, mine, what.model_copy(update={"profile": other}))
        for changes in ({"profile": None}, {"files": what.files[:1]}):
            with pytest.raises(FileMismatch, match="must come with its profile, and with its file"):
                send(session, mine, what.model_copy(update=changes))
        assert trials.get(session, mine.trial).rung is None


def test_a_repeated_report_changes_nothing(database):
    with database.write() as session:
        job = at_profile(session)
        mine = factories.must_claim(session)
        what = factories.report_of(session, mine)
        assert send(session, mine, what) == send(session, mine, what)
        assert count(session) == 1
        assert profiles.known(session, jobs.get(session, job.id)) is not None


def test_two_jobs_that_find_the_same_share_one_record(database):
    with database.write() as session:
        model = factories.model(session)
        first = at_profile(session, model=model)
        mine = factories.must_claim(session, "one")
        second = at_profile(session, model=model)
        for assignment in (mine, factories.must_claim(session, "two")):
            send(session, assignment, factories.report_of(session, assignment))
        one, two = (jobs.get(session, job.id).profile_sha256 for job in (first, second))
        assert one == two is not None
        assert count(session) == 1


def test_a_profile_of_another_revision_of_the_engine_is_made_anew(database):
    with database.write() as session:
        job = at_profile(session)
        mine = factories.must_claim(session)
        old = factories.profile_of(mine, engine_revision=FIRST_REVISION)
        what = factories.report_of(session, mine)
        onnx = [file for file in what.files if file.role == "onnx"]
        files = (*onnx, factories.profile_file(session, old))
        send(session, mine, what.model_copy(update={"profile": old, "files": files}))
        assert profiles.of_job(session, jobs.get(session, job.id)) == old
        assert profiles.known(session, jobs.get(session, job.id)) is None


def test_an_uploaded_model_has_no_training_to_take_a_share_of(database):
    with database.write() as session:
        job = at_profile(session, model=factories.model(session))
        job.baseline = factories.measurement(seconds={"train": 1e-5}).model_dump(mode="json")
        assert profiles.allowed_seconds(job) is None


def test_a_cap_is_a_share_of_the_job_s_seconds_or_of_the_training_or_there_is_none(database):
    with database.write() as session:
        job = at_profile(session)
        assert profiles.allowed_seconds(job) is None
        trained = factories.measurement(seconds={"train": 40.0})
        job.baseline = trained.model_dump(mode="json")
        assert profiles.allowed_seconds(job) == pytest.approx(4.0)
        budget = factories.PROFILED["budget"] | {"seconds": 600.0}
        asked = factories.job(session, **(factories.PROFILED | {"budget": budget}))
        asked.baseline = job.baseline
        assert profiles.allowed_seconds(asked) == pytest.approx(60.0)
