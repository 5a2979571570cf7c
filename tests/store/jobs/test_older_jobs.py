"""Jobs that were stored before a field was there mean what they meant then."""

import pytest
from pydantic import ValidationError

from compress.values.knobs import MOST_CHOICES
from compress.values.schedule import Schedule
from featherweight.specs.job import JobSpec
from featherweight.specs.phases import SupernetTraining
from featherweight.specs.protocol import Assignment
from featherweight.specs.schemas import Counts
from featherweight.specs.states import Phase
from search.space.space import build
from store.attempts import views
from store.jobs import baselines, jobs
from tests import factories


def as_older(job, *, without_recovery=False):
    """Take from the stored spec what version 0.1 did not have."""
    document = {name: dict(v) if isinstance(v, dict) else v for name, v in job.spec.items()}
    for part in ("model", "recovery", "supernet"):
        if isinstance(document.get(part), dict):
            del document[part]["augment"]
    document["recovery"]["learning_rate"] = 0.02
    if without_recovery:
        del document["recovery"]
    job.spec = document


def test_a_job_without_the_field_varies_its_images_by_channels(database):
    with database.write() as session:
        job = factories.job(session, running=True, **factories.SHARED)
        as_older(job)
        found = jobs.spec(job)
        assert found.recovery == Schedule(learning_rate=0.02, augment="by_channels")
        assert found.model.augment == "by_channels"
        assert found.supernet == SupernetTraining(epochs=2, augment="by_channels")
        # ... and says so to whoever asks.
        shown = views.job(job, Counts()).spec
        assert shown == found
        assert JobSpec.model_validate(shown.model_dump(mode="json")) == found


def test_a_job_older_than_recovery_varies_its_images_by_channels_too(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        as_older(job, without_recovery=True)
        assert jobs.spec(job).recovery == Schedule(learning_rate=0.02, augment="by_channels")


def test_a_job_older_than_the_limit_on_rungs_has_none(database):
    with database.write() as session:
        job = factories.job(session, running=True, budget={"trials": 6, "seconds": 60})
        stopping = {name: v for name, v in job.spec["early_stopping"].items() if name != "longest"}
        job.spec = {**job.spec, "early_stopping": stopping}
        found = jobs.spec(job)
    assert (found.early_stopping.longest, found.limits_rungs) == (None, False)
    assert found.finish_epochs_after(0) == found.finish_epochs == 2 * stopping["rungs"][-1]
    assert factories.spec(budget={"trials": 6, "seconds": 60}).limits_rungs


def test_workers_are_told_what_an_older_job_means(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        as_older(job)
        factories.baseline_trial(session, job)
        assignment = factories.must_claim(session)
    assert assignment.train.augment == assignment.recovery.augment == "by_channels"
    assert Assignment.model_validate_json(assignment.model_dump_json()) == assignment


def test_an_assignment_of_an_older_service_means_what_that_service_meant(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        factories.trial(session, job, phase=Phase.BASELINE)
        document = factories.must_claim(session).model_dump(mode="json")
    assert document["recovery"].pop("augment") == document["train"].pop("augment") == "auto"
    read = Assignment.model_validate(document)
    assert read.recovery.augment == read.train.augment == "by_channels"
    del document["recovery"]
    assert Assignment.model_validate(document).recovery.augment == "by_channels"


def test_a_new_job_decides_by_its_images(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        assert jobs.spec(job).recovery.augment == jobs.spec(job).model.augment == "auto"


def test_a_baseline_trained_in_another_way_forecasts_nothing(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        job.baseline = factories.measurement().model_dump(mode="json")
        as_older(job)
        session.flush()
        older = jobs.spec(job).model
        dataset = job.dataset_id
        record = session.get_one(factories.DatasetRecord, dataset)
        known = {"dataset": record, "target": "portable"}
        assert baselines.newest(session, model=older, **known) is not None
        assert baselines.newest(session, model=factories.UNTRAINED, **known) is None


def test_an_older_job_calibrates_activations_as_it_did(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        new = jobs.spec(job)
        as_older(job)
        old = jobs.spec(job)
    assert "activation_observer" not in new.techniques["quantization"]
    space = build(old, factories.outline(old.model.architecture.config))
    [knob] = [each for each in space.knobs if each.name == "quantization.activation_observer"]
    assert (knob.kind, knob.choices) == ("fixed", ("minmax",))
    assert JobSpec.of_record(new.model_dump(mode="json")) == new


def test_an_older_job_that_chose_its_observer_keeps_the_choice(database):
    with database.write() as session:
        chosen = {"quantization": {"activation_observer": "percentile"}}
        job = factories.job(session, running=True, techniques=chosen)
        before = jobs.spec(job).techniques
        as_older(job)
        assert jobs.spec(job).techniques == before


def test_a_stored_job_may_have_more_choices_than_a_new_one():
    document = factories.spec().model_dump(mode="json")
    ratios = [number / 10_000 for number in range(MOST_CHOICES + 1)]
    document["techniques"] = {"filter_pruning": {"ratio": {"kind": "choice", "choices": ratios}}}
    assert len(JobSpec.of_record(document).techniques["filter_pruning"]["ratio"].choices) == 1001
    with pytest.raises(ValidationError, match="a knob has at most 1000 choices, got 1001"):
        JobSpec.model_validate(document)
