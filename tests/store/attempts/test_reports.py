"""Reports: first write wins, files must be there, and what the stopping rule sees."""

import pytest
from pydantic import ValidationError

from featherweight.specs.protocol import FileRef, Report
from featherweight.specs.states import Phase
from store.attempts import attempts
from store.errors import (
    ArtifactNotFound,
    FileMismatch,
    MetricMissing,
    RungOutOfOrder,
    StaleAttempt,
)
from store.files import artifacts
from store.jobs import events, jobs
from store.trials import rungs, trials
from tests import factories


class Rule:
    """Lets everything climb and remembers what it saw."""

    def __init__(self):
        self.seen = []

    def __call__(self, context):
        self.seen.append(context)
        return factories.climb(context)


def report(session, mine, *, decide=factories.climb, **changes):
    what = factories.report_of(session, mine, **changes)
    return attempts.report(session, mine.attempt, mine.token, what, decide=decide)


def test_a_report_is_kept_with_its_files_and_its_decision(database):
    with database.write() as session:
        job = factories.searching_job(session)
        mine = factories.must_claim(session)
        measured = factories.measurement(0.8, 700)
        decision = report(session, mine, measured=measured)
        assert decision == factories.Decision(stop=False, reason="climbs")
    with database.read() as session:
        rung = rungs.of_trial(session, mine.trial)[0]
        assert (rung.rung, rung.epochs, rung.phase) == (0, 0, Phase.SEARCH)
        assert rung.measurement == measured.model_dump(mode="json")
        assert rung.decision == decision.model_dump(mode="json")
        files = artifacts.of_trial(session, mine.trial)
        assert [(file.role, file.sha256) for file in files] == [("onnx", rung.file_sha256)]
        assert artifacts.get(session, files[0].id).trial_id == mine.trial
        assert len(artifacts.of_job(session, job.id)) == 3  # the baseline's onnx and weights too
        trial = trials.get(session, mine.trial)
        assert (trial.rung, trial.file_sha256) == (0, rung.file_sha256)
        news = events.after(session, job.id, 0)[-1]
        assert news.type == "trial.rung"
        assert (news.data["accuracy"], news.data["size_bytes"]) == (0.8, 700)
        assert news.data["decision"] == rung.decision


def test_a_repeated_report_gets_the_first_answer_and_changes_nothing(database):
    with database.write() as session:
        job = factories.searching_job(session)
        mine = factories.must_claim(session)
        first = report(session, mine, measured=factories.measurement(0.8))
        before = jobs.get(session, job.id).last_event
        rule = Rule()
        again = report(session, mine, measured=factories.measurement(0.1), decide=rule)
        assert (again, rule.seen) == (first, [])
        assert jobs.get(session, job.id).last_event == before
        rung = rungs.of_trial(session, mine.trial)[0]
        assert rung.measurement["accuracy"] == {"validation": 0.8}


def test_a_report_repeated_after_the_end_still_gets_its_answer(database):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session)
        factories.deliver(session, mine)
        assert report(session, mine, rung=1).reason == "last rung"


@pytest.mark.parametrize("rung", [1, 2, 64])
def test_rungs_are_climbed_one_by_one(database, rung):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session)
        with pytest.raises(RungOutOfOrder, match="before rung 0"):
            report(session, mine, rung=rung)


def test_a_stopped_trial_climbs_no_further(database):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session)
        report(session, mine, decide=factories.stop)
        with pytest.raises(StaleAttempt, match="is delivered"):
            report(session, mine, rung=1)


def test_there_is_no_rung_after_the_last(database):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session)
        report(session, mine)
        report(session, mine, rung=1)
        with pytest.raises(StaleAttempt, match="is delivered"):
            report(session, mine, rung=2)


def test_a_file_that_was_not_uploaded_is_refused_and_nothing_is_kept(database):
    with database.write() as session:
        job = factories.searching_job(session)
        mine = factories.must_claim(session)
        before = jobs.get(session, job.id).last_event
    ghost = FileRef(role="onnx", sha256="0" * 64, size_bytes=1000)
    what = Report(rung=0, epochs=0, measurement=factories.measurement(), files=(ghost,))
    with pytest.raises(ArtifactNotFound), database.write() as session:
        attempts.report(session, mine.attempt, mine.token, what, decide=factories.climb)
    with database.read() as session:
        assert rungs.of_trial(session, mine.trial) == []
        assert jobs.get(session, job.id).last_event == before


def changed(what, **changes):
    return what.model_copy(update={"files": (what.files[0].model_copy(update=changes),)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda what: changed(what, size_bytes=999), "has 1000 bytes, not 999"),
        (lambda what: changed(what, role="weights"), "needs one onnx file"),
        (lambda what: what.model_copy(update={"files": what.files * 2}), "at most one file"),
        (
            lambda what: what.model_copy(update={"measurement": factories.measurement(0.9, 998)}),
            "measured 998 bytes",
        ),
        (
            lambda what: what.model_copy(
                update={"measurement": factories.measurement(target="onnxruntime")}
            ),
            "are for the target 'portable', and this one is for 'onnxruntime'",
        ),
    ],
)
def test_files_that_do_not_fit_the_report_are_refused(database, change, message):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session)
        what = change(factories.report_of(session, mine))
        with pytest.raises(FileMismatch, match=message):
            attempts.report(session, mine.attempt, mine.token, what, decide=factories.climb)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
def test_what_is_not_a_number_cannot_be_reported(value):
    with pytest.raises(ValidationError, match="accuracy on validation must be within 0 and 1"):
        factories.measurement(value)
    with pytest.raises(ValidationError):
        factories.measurement(latency_ms=float("nan"))
    with pytest.raises(ValidationError):
        factories.measurement(seconds={"train": float("inf")})


def test_the_baselines_report_gives_the_job_its_baseline_and_weights(database):
    with database.write() as session:
        job = factories.searching_job(session)
        assert jobs.baseline(jobs.get(session, job.id)) == factories.measurement()
        weights = next(a for a in artifacts.of_job(session, job.id) if a.role == "weights")
        assert job.weights_sha256 == weights.sha256
        assert job.normalisation == factories.NORMALISATION.model_dump(mode="json")


def test_a_trained_baseline_without_its_weights_is_refused(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        factories.baseline_trial(session, job)
        mine = factories.must_claim(session)
        what = factories.report_of(session, mine)
        for lacking in (
            what.model_copy(update={"files": what.files[:1]}),
            what.model_copy(update={"normalisation": None}),
        ):
            with pytest.raises(FileMismatch, match="weights and normalisation"):
                attempts.report(session, mine.attempt, mine.token, lacking, decide=factories.climb)


def test_the_baseline_of_an_uploaded_model_keeps_the_models_weights(database):
    with database.write() as session:
        model = factories.model(session)
        job = factories.job(session, model=model, running=True)
        factories.baseline_trial(session, job)
        factories.deliver(session, factories.must_claim(session))
        job = jobs.get(session, job.id)
        assert job.weights_sha256 == model.sha256
        assert jobs.baseline(job) == factories.measurement()


def test_a_rerun_of_the_baseline_leaves_the_jobs_baseline(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=0)
        baseline = trials.of_job(session, job.id)[0]
        weights = job.weights_sha256
        trials.rerun(session, baseline.id, seed=9)
        mine = factories.must_claim(session)
        factories.deliver(session, mine, measured=factories.measurement(0.2))
        job = jobs.get(session, job.id)
        assert jobs.baseline(job) == factories.measurement()
        assert job.weights_sha256 == weights


def test_the_violation_is_the_worst_of_all_constraints(database):
    with database.write() as session:
        factories.searching_job(
            session, constraints=["size_bytes <= 400 B", "accuracy >= baseline - 1 point"]
        )
        mine = factories.must_claim(session)
        report(session, mine, measured=factories.measurement(0.9, 600))
        assert rungs.of_trial(session, mine.trial)[0].violation == pytest.approx(0.5)
        assert trials.get(session, mine.trial).violation == pytest.approx(0.5)


@pytest.mark.parametrize(
    "wanted",
    [
        {"objectives": ["maximise accuracy", "minimise peak_memory_bytes"]},
        {"constraints": ["peak_memory_bytes <= 20 MB"]},
    ],
)
def test_a_report_without_a_number_that_the_job_compares_is_refused(database, wanted):
    with database.write() as session:
        job = factories.job(session, running=True, **wanted)
        factories.baseline_trial(session, job)
        mine = factories.must_claim(session)
        with pytest.raises(MetricMissing, match="peak_memory_bytes, which this worker did not"):
            report(session, mine)
        assert jobs.get(session, job.id).baseline is None
        measured = factories.measurement(peak_memory_bytes=12_000_000)
        report(session, mine, measured=measured)
        assert jobs.baseline(jobs.get(session, job.id)) == measured


def test_a_met_constraint_is_not_violated(database):
    with database.write() as session:
        factories.searching_job(session, constraints=["size_bytes <= baseline / 2"])
        mine = factories.must_claim(session)
        report(session, mine, measured=factories.measurement(0.9, 500))
        assert trials.get(session, mine.trial).violation == 0


def test_without_constraints_everything_is_feasible(database):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session)
        report(session, mine)
        assert trials.get(session, mine.trial).violation == -1.0


def test_the_baseline_is_compared_with_itself(database):
    rule = Rule()
    with database.write() as session:
        job = factories.job(session, running=True, constraints=["accuracy >= baseline - 9 points"])
        factories.baseline_trial(session, job)
        mine = factories.must_claim(session)
        report(session, mine, decide=rule)
        assert trials.get(session, mine.trial).violation == pytest.approx(-0.09 / 0.81)
        assert rule.seen[0].baseline == rule.seen[0].measurement


def test_the_stopping_rule_sees_the_peers_of_the_phase_at_the_rung(database):
    rule = Rule()
    with database.write() as session:
        factories.searching_job(session, waiting=2)
        one, two = factories.must_claim(session, "one"), factories.must_claim(session, "two")
        report(session, one, measured=factories.measurement(0.7), decide=rule)
        report(session, two, measured=factories.measurement(0.6), decide=rule)
        report(session, one, rung=1, decide=rule)
    first, second, third = rule.seen
    assert first.peers == []
    assert second.peers == [factories.measurement(0.7)]
    assert third.peers == ()
    assert [context.is_last for context in rule.seen] == [False, False, True]
    assert second.spec == factories.spec()
    assert second.baseline == factories.measurement()


def test_rungs_of_a_job_come_in_the_order_in_which_they_were_reached(database):
    with database.write() as session:
        job = factories.searching_job(session)
        mine = factories.must_claim(session)
        factories.deliver(session, mine)
        found = [(rung.phase, rung.rung) for rung in rungs.of_job(session, job.id)]
    assert found == [("baseline", 0), ("search", 0), ("search", 1)]
