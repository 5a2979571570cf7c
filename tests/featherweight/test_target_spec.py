"""A job says where its files must run; what is older than the field means what it did."""

import pytest
from pydantic import ValidationError

from compress.targets import registry
from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec
from featherweight.specs.protocol import Assignment
from featherweight.specs.schemas import Counts
from service.intake import submission
from store.attempts import views
from store.jobs import jobs
from tests import factories


def test_a_new_job_is_for_all_runtimes_that_were_tried():
    assert factories.spec().target == "portable"


@pytest.mark.parametrize("target", [each.name for each in registry.TARGETS])
def test_a_job_may_be_for_any_target_that_there_is(target):
    asked = factories.spec(target=target)
    assert JobSpec.of_record(asked.model_dump(mode="json")) == asked


def test_the_schema_lists_the_targets():
    listed = JobSpec.model_json_schema()["properties"]["target"]["enum"]
    assert listed == [each.name for each in registry.TARGETS]


@pytest.mark.parametrize("target", ["ncnn", "", "Portable", "x" * 10_000, 7, None, ["plain"]])
def test_another_target_is_refused_with_those_that_there_are(target):
    with pytest.raises(ValidationError) as raised:
        factories.spec(target=target)
    assert len(str(raised.value)) < 1000
    if target == "ncnn":
        assert "no target is named 'ncnn'; expected one of onnxruntime, por" in str(raised.value)


def test_a_stored_job_without_a_target_is_for_onnxruntime(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        job.spec = {name: value for name, value in job.spec.items() if name != "target"}
        assert jobs.spec(job).target == views.job(job, Counts()).spec.target == "onnxruntime"
        factories.baseline_trial(session, job)
        assert factories.must_claim(session).target == "onnxruntime"


def test_a_worker_is_told_the_target_and_an_older_service_means_onnxruntime(database):
    with database.write() as session:
        job = factories.job(session, running=True, target="plain")
        factories.baseline_trial(session, job)
        document = factories.must_claim(session).model_dump(mode="json")
    assert document.pop("target") == "plain"
    assert Assignment.model_validate(document).target == "onnxruntime"


def test_a_measurement_without_a_target_is_of_a_file_for_onnxruntime():
    document = factories.measurement().model_dump(mode="json")
    assert document.pop("target") == "portable"
    del document["runtimes"]
    found = Measurement.model_validate(document)
    assert (found.target, found.runtimes) == ("onnxruntime", ())


def test_jobs_for_other_targets_are_other_requests():
    digests = {submission.digest(factories.spec(target=t.name)) for t in registry.TARGETS}
    assert len(digests) == len(registry.TARGETS)
    assert submission.digest(factories.spec()) in digests


@pytest.mark.parametrize(
    "asked",
    [
        {"objectives": ["maximise accuracy", "minimise latency_ms"]},
        {"constraints": ["load_ms <= 5"]},
        {"constraints": ["peak_memory_bytes <= 5 MB"]},
    ],
)
def test_what_takes_a_runtime_is_not_compared_for_a_target_that_was_never_run(asked):
    with pytest.raises(ValidationError, match="says nothing of the target 'tensorrt': leave it"):
        factories.spec(target="tensorrt", **asked)
    assert factories.spec(target="plain", **asked).target == "plain"
