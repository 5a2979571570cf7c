"""The whole road: a posted job, a worker, a front of files that run as measured."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from compress.targets import rules
from compress.targets.portable import PORTABLE
from compress.values.schedule import Schedule
from featherweight.client.transport import file_digest
from featherweight.specs import manifest
from featherweight.specs.states import JobState, Phase, TrialState
from tests.running import until

STAGES = {"compress", "train", "export", "measure"}


@pytest.fixture(scope="module")
def ended(house, client, digits):
    """A tiny job, watched to its end by one worker: the events and the job."""
    from tests.e2e.conftest import TINY, JobSpec

    data = client.upload_dataset(digits, name="digits").name
    house.start("board", "worker", "--measure-only", "--name", "board")
    house.start("worker")
    job = client.submit(JobSpec.model_validate(TINY | {"data": data}))
    events = list(client.watch(job.id))
    yield events, client.job(job.id)
    assert house.kill("worker", 15) == 0
    assert house.kill("board", 15) == 0


def test_the_job_succeeds_with_exactly_its_budget_of_trials(ended, client):
    _, job = ended
    assert (job.state, job.trials.failed) == (JobState.SUCCEEDED, 0)
    trials = list(client.trials(job.id))
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    assert job.trials.total == len(trials)
    assert [trial.phase for trial in trials] == [
        Phase.BASELINE, Phase.SEARCH, Phase.SEARCH, Phase.FINISH, Phase.TEST,
    ]  # fmt: skip
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.STOPPED}
    assert all(trial.attempts == 1 for trial in trials)


def test_every_event_is_seen_once_up_to_the_last(ended):
    events, job = ended
    assert [event.seq for event in events] == list(range(1, job.last_event + 1))
    assert events[-1].type == "job.succeeded"


def test_every_file_of_the_front_is_what_was_measured(ended, client, digits, tmp_path):
    _, job = ended
    front = client.front(job.id)
    assert front.points
    with np.load(digits) as arrays:
        x, y = arrays["x_validation"].astype(np.float32)[:, None], arrays["y_validation"]
        unseen = arrays["x_test"].astype(np.float32)[:, None], arrays["y_test"]
    for point in front.points:
        path = client.download(point, tmp_path)
        assert path.stat().st_size == point.size_bytes
        assert file_digest(path) == point.sha256
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"input": x})
        accuracy = float((logits.argmax(axis=1) == y).mean())
        assert accuracy == pytest.approx(point.measurement.accuracy["validation"], abs=1e-9)
        (logits,) = session.run(None, {"input": unseen[0]})
        assert point.test is not None
        assert point.test.images == len(unseen[1])
        assert point.test.accuracy == float((logits.argmax(axis=1) == unseen[1]).mean())
        told = manifest.load(json.dumps(client.manifest(point.artifact)))
        assert told.file_sha256 == point.sha256
        assert told.candidate == point.candidate
        assert told.origin.trial == point.number
        assert told.measurement.accuracy == point.measurement.accuracy
        assert told.measurement.target == point.measurement.target == "portable"
        assert "onnxruntime >= 1.15" in told.measurement.runtimes
        rules.check(onnx.load(path), PORTABLE)
        assert told.origin.recovery == Schedule(learning_rate=0.03)
        assert told.origin.augmented == "shift"


def test_a_meter_measures_every_file_of_the_front_and_the_baseline(ended, client):
    _, job = ended
    until(lambda: all(point.meters for point in client.front(job.id).points))
    front = client.front(job.id)
    for point in (front.baseline, *front.points):
        [reading] = point.meters
        assert client.measurements(point.artifact) == (reading,)
        assert (reading.meter, reading.threads, reading.detail) == ("board", 1, "")
        found = {figures.runtime.name: figures for figures in reading.figures}["onnxruntime"]
        assert found.runtime.version == onnxruntime.__version__
        assert 0 < found.latency_ms < found.load_ms
        assert found.peak_memory_bytes is None or found.peak_memory_bytes > point.size_bytes
    [meter] = client.meters()
    assert (meter.name, meter.device) == ("board", front.baseline.meters[0].device)
    assert client.job(job.id).last_event == job.last_event


def test_the_smallest_file_of_the_front_answers_alike_in_plain_form(
    ended, client, digits, tmp_path
):
    _, job = ended
    point = min(client.front(job.id).points, key=lambda point: point.size_bytes)
    paths = [client.download(point, tmp_path, target=form) for form in (None, "plain")]
    with np.load(digits) as arrays:
        x = arrays["x_test"].astype(np.float32)[:, None]
    sessions = [
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for path in paths
    ]
    one, other = (session.run(None, {"input": x})[0] for session in sessions)
    np.testing.assert_array_equal(one, other)
    assert file_digest(paths[1]) != point.sha256


def test_a_card_says_what_was_measured_and_a_program_answers_as_the_file(
    ended, client, digits, tmp_path
):
    _, job = ended
    point = min(client.front(job.id).points, key=lambda point: point.size_bytes)
    card, path = client.card(point.artifact), client.download(point, tmp_path, metadata=True)
    assert (
        path.read_bytes()[: card.file.size_bytes] == client.download(point, tmp_path).read_bytes()
    )
    assert (card.file.sha256, card.accuracy["test"]) == (point.sha256, point.test)
    assert card.target.runtimes[0].ran == onnxruntime.__version__
    assert card.costs.latency == point.measurement.latency
    with np.load(digits) as arrays:
        x = arrays["x_test"][:1].astype(np.float32)[:, None]
        low, high = arrays["x_train"].min(), arrays["x_train"].max()
    assert card.input.value_range == (low, high)
    x.astype("<f4").tofile(tmp_path / "x.f32")
    (tmp_path / "run.py").write_text(client.snippet(point.artifact, "python"))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    scores = session.run(None, {"input": x})[0][0]
    command = [sys.executable, "run.py", path.name, "x.f32"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    best = int(scores.argmax())
    assert printed.stdout.splitlines()[0] == f"{scores[best]:.5f}\tclass {best}"


def test_what_was_decided_about_augmentation_is_in_the_report(ended, client):
    _, job = ended
    told = [note for note in client.report(job.id).notes if note.startswith("augmentation: auto")]
    assert len(told) == 1
    assert told[0].startswith("augmentation: auto -> shift: a nearest neighbour answers")
    assert told[0] in job.baseline.notes


def test_no_trial_of_the_search_sees_the_test_split(ended, client):
    _, job = ended
    for trial in client.trials(job.id):
        seen = set(trial.measurement.accuracy)
        expected = {"validation"} if trial.phase is Phase.SEARCH else {"validation", "test"}
        assert seen == expected


def test_the_baseline_leaves_its_weights_beside_its_file(ended, client):
    _, job = ended
    trials = list(client.trials(job.id))
    roles = {file.role for file in client.artifacts(trials[0].id)}
    assert roles == {"onnx", "manifest", "weights"}
    assert {file.role for file in client.artifacts(trials[1].id)} == {"onnx", "manifest"}


def test_no_note_of_a_trial_is_said_twice(ended, client):
    _, job = ended
    noted = [trial.measurement.notes for trial in client.trials(job.id) if trial.measurement]
    assert any(noted)
    assert all(len(set(notes)) == len(notes) for notes in noted)


def test_every_measurement_says_where_the_time_went(ended, client):
    _, job = ended
    for trial in client.trials(job.id):
        stages = {"measure"} if trial.phase == Phase.TEST else STAGES
        assert stages <= set(trial.measurement.seconds)
        assert all(value >= 0 for value in trial.measurement.seconds.values())
        assert trial.measurement.training_threads >= 1
    assert client.job(job.id).baseline.train_images_per_second > 0


def test_every_trial_says_why_it_ended(ended, client):
    _, job = ended
    for trial in client.trials(job.id):
        why = client.why(trial.id)
        assert why.reason
        assert why.rungs
        assert [attempt.state for attempt in why.attempts] == ["delivered"]
