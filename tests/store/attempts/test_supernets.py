"""Weights that members share: where they come from, and who is handed what, on both databases."""

import pytest

from compress.network.sources.source import FamilySource
from compress.network.supernet.config import Elastic
from compress.techniques.candidate import Candidate
from featherweight.specs.protocol import Assignment
from featherweight.specs.states import Phase, TrialState
from store.access.owners import NOBODY
from store.attempts import attempts, supernets
from store.errors import FileMismatch, StillInUse
from store.files import artifacts, models
from store.jobs import jobs
from store.trials import trials
from tests import factories

ELASTIC = Elastic(widths=(0.5, 1.0), depths=(1,))
OTHER = factories.NORMALISATION.model_copy(update={"mean": (0.7,)})
MEMBER = {"technique": "family_member", "width": 0.5, "weights": "supernet"}


def at_supernet(session, **changes):
    """A job whose baseline is measured, in the phase of its supernet; the trial waits."""
    job = factories.searching_job(session, waiting=0, **(factories.SHARED | changes))
    jobs.set_phase(session, job, Phase.SUPERNET)
    supernets.set_elastic(session, job, ELASTIC)
    largest = Candidate.model_validate({"steps": [MEMBER | {"width": 1.0}]})
    factories.trial(
        session, job, phase=Phase.SUPERNET, origin="supernet", candidate=largest, rungs=(1, 2)
    )
    return job


def report(session, mine, rung):
    what = factories.report_of(session, mine, rung=rung)
    attempts.report(session, mine.attempt, mine.token, what, decide=factories.climb)
    return next(file.sha256 for file in what.files if file.role == "weights")


def member(session, job, *, worker="worker", **changes):
    """What this worker gets when it claims a search trial of this member."""
    candidate = Candidate.model_validate({"steps": [MEMBER | changes]})
    jobs.set_phase(session, job, Phase.SEARCH)
    factories.trial(session, job, candidate=candidate)
    return factories.must_claim(session, worker)


def test_the_supernets_trial_is_told_what_to_train_and_from_where(database):
    with database.write() as session:
        at_supernet(session, supernet={"epochs": 2, "start": "baseline"})
        mine = factories.must_claim(session)
    task = mine.supernet_task
    assert task is not None
    assert (task.elastic, task.epochs, task.start) == (ELASTIC, 2, "baseline")
    assert (task.checkpoint, mine.first_rung, mine.supernet) == (None, 0, None)
    assert Assignment.model_validate_json(mine.model_dump_json()) == mine


def test_the_next_attempt_goes_on_from_the_checkpoint_of_the_one_before(database):
    with database.write() as session:
        at_supernet(session)
        lost = factories.must_claim(session, lease_seconds=factories.OVER)
        kept = report(session, lost, 0)
        assert attempts.reap(session) == 1
        mine = factories.must_claim(session, "another")
    assert mine.trial == lost.trial
    assert mine.first_rung == 1
    task = mine.supernet_task
    assert task is not None
    assert task.checkpoint is not None
    assert task.checkpoint.sha256 == kept
    assert task.checkpoint.normalisation == factories.NORMALISATION


def test_only_the_last_checkpoint_becomes_the_weights_of_the_job(database):
    with database.write() as session:
        job = at_supernet(session)
        mine = factories.must_claim(session)
        report(session, mine, 0)
        assert jobs.get(session, job.id).supernet_sha256 is None
        last = report(session, mine, 1)
        assert jobs.get(session, job.id).supernet_sha256 == last
        assert trials.get(session, mine.trial).state == TrialState.COMPLETE
        kept = [a for a in artifacts.of_trial(session, mine.trial) if a.role == "weights"]
        assert [artifact.rung for artifact in kept] == [0, 1]


def test_a_repeated_last_report_changes_nothing(database):
    with database.write() as session:
        job = at_supernet(session)
        mine = factories.must_claim(session)
        report(session, mine, 0)
        last = report(session, mine, 1)
        assert report(session, mine, 1) != last
        assert jobs.get(session, job.id).supernet_sha256 == last


def test_a_report_of_a_supernet_without_its_weights_is_refused(database):
    with database.write() as session:
        job = at_supernet(session)
        mine = factories.must_claim(session)
        what = factories.report_of(session, mine)
        lacking = what.model_copy(update={"files": what.files[:1]})
        with pytest.raises(FileMismatch, match="a supernet must come with its weights at every"):
            attempts.report(session, mine.attempt, mine.token, lacking, decide=factories.climb)
        assert jobs.get(session, job.id).supernet_sha256 is None
        assert trials.get(session, mine.trial).rung is None


def test_a_rerun_of_the_supernet_begins_anew_and_changes_no_job(database):
    with database.write() as session:
        job = at_supernet(session)
        first = factories.must_claim(session)
        report(session, first, 0)
        last = report(session, first, 1)
        trials.rerun(session, first.trial, seed=9)
        again = factories.must_claim(session)
        task = again.supernet_task
        assert task is not None
        assert (again.seed, again.first_rung, task.checkpoint) == (9, 0, None)
        report(session, again, 0)
        report(session, again, 1)
        assert jobs.get(session, job.id).supernet_sha256 == last


def test_members_get_the_shared_weights_and_nobody_else(database):
    with database.write() as session:
        job = at_supernet(session, budget={"trials": 7, "parallel_trials": 3})
        mine = factories.must_claim(session)
        report(session, mine, 0)
        last = report(session, mine, 1)
        sliced = member(session, job)
        own = member(session, job, worker="second", weights="fresh")
        trials.rerun(session, trials.of_job(session, job.id)[0].id, seed=3)
        baseline = factories.must_claim(session, "third")
    assert sliced.supernet is not None
    assert sliced.supernet.sha256 == last
    assert sliced.supernet.normalisation == factories.NORMALISATION
    assert (sliced.supernet_task, own.supernet, own.supernet_task) == (None, None, None)
    assert (baseline.phase, baseline.student, baseline.supernet) == (Phase.BASELINE, None, None)


def test_members_are_those_of_the_student(database):
    student = factories.ARCHITECTURE.model_copy(update={"widths": (6, 12)})
    with database.write() as session:
        job = at_supernet(session, student=student.model_dump())
        mine = factories.must_claim(session)
        report(session, mine, 0)
        report(session, mine, 1)
        sliced = member(session, job)
    assert mine.student == sliced.student == FamilySource(student)
    assert mine.architecture == sliced.architecture == FamilySource(factories.ARCHITECTURE)


def uploaded(session, **changes):
    """A job with an uploaded supernet, its baseline measured."""
    record = factories.model(session, "shared")
    record.normalisation = OTHER.model_dump(mode="json")
    job = factories.job(session, shared=record, running=True, **changes)
    factories.baseline_trial(session, job)
    factories.deliver(session, factories.must_claim(session))
    return record, job


def test_an_uploaded_supernet_is_shared_as_it_is_and_sees_images_in_its_own_way(database):
    with database.write() as session:
        record, job = uploaded(session)
        assert job.supernet_sha256 == record.sha256
        sliced = member(session, job)
    assert sliced.supernet is not None
    assert (sliced.supernet.sha256, sliced.supernet.normalisation) == (record.sha256, OTHER)


def test_training_begins_at_an_uploaded_supernet(database):
    with database.write() as session:
        record, job = uploaded(session, supernet={"epochs": 2, "model": "shared"})
        assert job.supernet_sha256 is None
        jobs.set_phase(session, job, Phase.SUPERNET)
        supernets.set_elastic(session, job, ELASTIC)
        factories.trial(session, job, phase=Phase.SUPERNET, origin="supernet", rungs=(1, 2))
        mine = factories.must_claim(session, lease_seconds=factories.OVER)
        kept = report(session, mine, 0)
        assert attempts.reap(session) == 1
        again = factories.must_claim(session)
    first, second = (a.supernet_task and a.supernet_task.checkpoint for a in (mine, again))
    assert first is not None
    assert second is not None
    assert (first.sha256, second.sha256) == (record.sha256, kept)
    assert first.normalisation == second.normalisation == OTHER


def test_a_job_keeps_its_uploaded_supernet_from_being_deleted(database):
    with database.write() as session:
        record, job = uploaded(session)
        with pytest.raises(StillInUse, match=job.id):
            models.delete(session, record.id, NOBODY)


def test_a_job_is_made_with_the_supernet_that_it_names_and_no_other(database):
    with database.write() as session:
        record, dataset = factories.model(session), factories.dataset(session)
        asked = factories.spec(**factories.SHARED)
        fields = {"dataset": dataset, "idempotency_key": None, "body_sha256": "a" * 64}
        with pytest.raises(ValueError, match="supernet's record if and only if"):
            jobs.create(session, asked, model=None, supernet=record, **fields)
        named = factories.spec(**(factories.SHARED | {"supernet": {"epochs": 0, "model": "n"}}))
        with pytest.raises(ValueError, match="supernet's record if and only if"):
            jobs.create(session, named, model=None, **fields)
