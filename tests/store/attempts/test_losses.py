"""A file that the store has lost pauses its job; nothing is charged to a trial."""

import os

import pytest

from compress.techniques.candidate import Candidate
from featherweight.specs.protocol import Failure
from featherweight.specs.states import FailureClass, JobState, Phase, TrialState
from store.attempts import assignments, attempts, losses
from store.errors import FileCorrupt, FileMismatch, FileStillLost
from store.files.file_store import FileStore
from store.jobs import jobs
from store.tables.records import AttemptRecord, EventRecord
from store.trials import trials
from tests import factories

CONTENT = b"a dataset"
MEMBER = {"technique": "family_member", "width": 0.5, "weights": "supernet"}


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "files")


def lost(sha256, words=losses.GONE):
    return Failure(failure_class=FailureClass.FILE_LOST, message=words, file=sha256)


def report_loss(session, assignment, sha256, words=losses.GONE):
    return attempts.fail(session, assignment.attempt, assignment.token, lost(sha256, words))


def test_the_job_is_paused_with_words_and_its_trial_waits_unspent(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=2)
        mine = factories.must_claim(session)
        assert report_loss(session, mine, mine.dataset).state == TrialState.WAITING
        job = jobs.get(session, job.id)
        trial = trials.get(session, mine.trial)
        assert (job.state, job.pause_reason) == (JobState.PAUSED, "file_lost")
        for part in ("the dataset 'digits'", mine.dataset, "gone", "backup", "resume"):
            assert part in (job.pause_detail or "")
        assert (trial.state, trial.failures) == (TrialState.WAITING, {})
        assert factories.claim(session) is None
        said = session.query(EventRecord).filter_by(job_id=job.id, type="job.paused").one()
        assert said.data == {"reason": "file_lost", "detail": job.pause_detail}


def test_resuming_goes_on_and_forgets_the_reason(database):
    with database.write() as session:
        job = factories.searching_job(session)
        mine = factories.must_claim(session)
        report_loss(session, mine, mine.dataset)
        found = jobs.resume(session, job.id)
        assert (found.pause_reason, found.pause_file, found.pause_detail) == (None, None, None)
        assert factories.must_claim(session).trial == mine.trial


def test_other_trials_of_the_job_may_say_the_same_and_are_not_charged_either(database):
    with database.write() as session:
        factories.searching_job(session, waiting=2)
        one, two = (factories.must_claim(session, name) for name in ("one", "two"))
        for mine in (one, two):
            report_loss(session, mine, mine.dataset)
        assert trials.get(session, two.trial).failures == {}


def test_a_job_that_a_user_has_paused_keeps_its_pause_and_gets_the_reason(database):
    with database.write() as session:
        job = factories.searching_job(session)
        mine = factories.must_claim(session)
        jobs.pause(session, job.id)
        report_loss(session, mine, mine.dataset)
        found = jobs.get(session, job.id)
        assert (found.state, found.pause_reason) == (JobState.PAUSED, "file_lost")
        assert found.pause_file == mine.dataset


def test_a_cancelled_job_ends_although_its_file_is_lost(database):
    with database.write() as session:
        job = factories.searching_job(session)
        mine = factories.must_claim(session)
        jobs.cancel(session, job.id)
        assert report_loss(session, mine, mine.dataset).state == TrialState.STOPPED
        assert jobs.get(session, job.id).state == JobState.STOPPING


def test_a_file_that_the_trial_does_not_need_pauses_nothing(database):
    with database.write() as session:
        job = factories.searching_job(session)
        mine = factories.must_claim(session)
    with pytest.raises(FileMismatch, match="needs no file"), database.write() as session:
        report_loss(session, mine, "0" * 64)
    with database.read() as session:
        assert jobs.get(session, job.id).state == JobState.RUNNING


def named(session, assignment):
    return assignments.named(session, session.get_one(AttemptRecord, assignment.attempt))


def test_every_file_of_an_assignment_is_named_for_people(database):
    with database.write() as session:
        teacher = factories.model(session, "wise")
        factories.searching_job(session, waiting=0, teacher=teacher)
        job = jobs.active(session)[0]
        steps = [{"technique": "distillation", "teacher": "uploaded"}]
        factories.trial(session, job, candidate=Candidate.model_validate({"steps": steps}))
        mine = factories.must_claim(session)
        assert mine.tutor is not None
        assert mine.weights is not None
        assert mine.baseline_file is not None
        assert named(session, mine) == {
            mine.dataset: "the dataset 'digits'",
            mine.weights.sha256: "the weights of the baseline",
            mine.tutor.weights.sha256: "the teacher, of the model 'wise'",
            mine.baseline_file.sha256: "the ONNX file of the baseline",
        }


def test_weights_that_a_user_uploaded_are_named_by_their_model(database):
    with database.write() as session:
        model = factories.model(session, "mine")
        factories.baseline_trial(session, factories.job(session, model=model, running=True))
        mine = factories.must_claim(session)
        assert "of the model 'mine'" in named(session, mine)[model.sha256]


def test_files_of_supernets_and_of_the_front_are_named(database):
    with database.write() as session:
        shared = factories.model(session, "shared")
        job = factories.searching_job(session, waiting=0, shared=shared)
        member = Candidate.model_validate({"steps": [MEMBER]})
        factories.trial(session, job, candidate=member)
        mine = factories.must_claim(session)
        assert mine.supernet is not None
        assert "the supernet, of the model 'shared'" in named(session, mine)[shared.sha256]
        factories.deliver(session, mine)
        file = trials.get(session, mine.trial).file_sha256
        row = factories.trial(session, job, phase=Phase.TEST, origin="test", rungs=(0,))
        row.files = [file]
        assert named(session, factories.must_claim(session))[file] == "a file of the front"


def stored(store):
    return store.put([CONTENT], limit=100).sha256


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: path.unlink(), losses.GONE),
        (lambda path: path.write_bytes(CONTENT[:-1]), losses.CORRUPT),
        (lambda path: path.write_bytes(b""), losses.CORRUPT),
    ],
)
def test_a_worker_is_believed_only_where_the_file_is_lost_indeed(store, harm, words):
    sha256 = stored(store)
    whole = losses.judge(store, lost(sha256, "damaged on its way"))
    assert whole.failure_class is FailureClass.INFRASTRUCTURE
    assert "damaged on its way" in whole.message
    harm(store.path(sha256))
    assert losses.judge(store, lost(sha256, "damaged on its way")) == lost(sha256, words)


def test_bits_that_rot_without_a_new_time_are_found(store):
    sha256 = stored(store)
    store.verify(sha256)
    path = store.path(sha256)
    before = path.stat()
    path.write_bytes(CONTENT[:-1] + b"?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert losses.state_of(store, sha256) == losses.CORRUPT


def test_a_file_found_corrupt_while_it_is_sent_is_checked_before_the_next_time(store):
    sha256 = stored(store)
    store.verify(sha256)
    path = store.path(sha256)
    before = path.stat()
    path.write_bytes(CONTENT[:-1] + b"?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(FileCorrupt):
        list(store.read(sha256))
    with pytest.raises(FileCorrupt):
        store.verify(sha256)


def test_a_disk_that_does_not_answer_loses_nothing(store, tmp_path):
    sha256 = stored(store)
    path = store.path(sha256)
    path.unlink()
    path.symlink_to(path)  # a loop: the system cannot say what is there
    with pytest.raises(OSError, match="symbolic links"):
        losses.state_of(store, sha256)


def test_a_job_is_not_resumed_before_its_file_is_back(database, store):
    sha256 = stored(store)
    with database.write() as session:
        job = factories.searching_job(session)
        job.pause_file, job.pause_detail = sha256, "the dataset is gone"
        losses.check_found(store, job)
        store.delete(sha256)
        with pytest.raises(FileStillLost, match=f"{sha256} is gone"):
            losses.check_found(store, job)
        stored(store)  # the same bytes, uploaded again
        losses.check_found(store, job)
