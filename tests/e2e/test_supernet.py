"""A job trains weights that its members share, over a kill, and another job begins with them."""

import json
import signal

import numpy as np
import onnxruntime
import pytest

from compress import pipeline
from compress.network.families.residual.config import Residual
from compress.network.sources import safetensors
from compress.network.sources.family import FamilyMembers
from compress.tasks import loading
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.training import inference
from compress.training.context import TrialContext
from featherweight.specs import manifest
from featherweight.specs.job import JobSpec
from featherweight.specs.states import JobState, Phase
from tests.devices import DEVICE
from tests.e2e.conftest import TINY

pytestmark = pytest.mark.proof
STUDENT = Residual(widths=(8, 16), depths=(1, 1))
CHANGES = {
    "model": {"architecture": {"widths": [4, 8], "depths": [1, 1]}, "epochs": 2},
    "student": STUDENT.model_dump(mode="json"),
    "supernet": {"epochs": 4},
    "techniques": {"family_member": {"width": [0.5, 1.0], "weights": "supernet"}},
    "budget": {"trials": 4, "parallel_trials": 1},
    "early_stopping": {"rungs": [0]},
    "finish": {"trials": 0},
}


def watched(client, spec, *, at_checkpoint=lambda: None):
    """The job of this spec at its end; ``at_checkpoint`` is called at its supernet's first one."""
    job = client.submit(spec)
    first = True
    for event in client.watch(job.id):
        if first and (event.type, event.data.get("number")) == ("trial.rung", 1):
            at_checkpoint()
            first = False
    return client.job(job.id)


@pytest.fixture(scope="module")
def asked(client, digits):
    name = client.upload_dataset(digits, name="digits").name
    return JobSpec.model_validate(TINY | CHANGES | {"data": name})


@pytest.fixture(scope="module")
def shared(house, client, asked):
    """A job that trained a supernet, at its end; its worker was killed at the first checkpoint."""

    def kill():
        house.kill("worker")
        house.start("worker")

    house.start("worker")
    yield watched(client, asked, at_checkpoint=kill)
    assert house.kill("worker", signal.SIGTERM) == 0


@pytest.fixture(scope="module")
def kept(client, shared, digits, tmp_path_factory):
    """The weights of the supernet as a file and as a network."""
    [artifact] = [file for file in files(client, shared, 1, "weights") if file.rung == 3]
    path = client.download(artifact.id, tmp_path_factory.mktemp("kept"))
    images = loading.load(digits)
    network = safetensors.load(
        path,
        architecture=STUDENT,
        normalisation=told(client, shared, 1).input.normalisation,
        input_shape=images.input_shape,
        num_classes=images.num_classes,
    )
    return path, network


def files(client, job, number, role):
    trial = list(client.trials(job.id))[number]
    return [file for file in client.artifacts(trial.id) if file.role == role]


def told(client, job, number):
    [*_, file] = files(client, job, number, "onnx")
    return manifest.load(json.dumps(client.manifest(file.id)))


def test_the_job_has_exactly_its_trials_and_the_weights_of_the_last_checkpoint(client, shared):
    assert shared.state == JobState.SUCCEEDED
    found = [(t.number, t.phase, t.state) for t in client.trials(shared.id)]
    found = [each for each in found if each[1] != Phase.TEST]
    phases = [Phase.BASELINE, Phase.SUPERNET, Phase.SEARCH, Phase.SEARCH]
    assert found == [(number, phase, "complete") for number, phase in enumerate(phases)]
    checkpoints = files(client, shared, 1, "weights")
    assert [file.rung for file in checkpoints] == [0, 1, 2, 3]
    assert shared.supernet_sha256 == checkpoints[-1].sha256


def test_a_killed_worker_goes_on_from_the_checkpoint_that_it_left(house, client, shared):
    trial = list(client.trials(shared.id))[1]
    why = client.why(trial.id)
    assert [rung.rung for rung in why.rungs] == [0, 1, 2, 3]
    assert ["lost_worker" in attempt.detail for attempt in why.attempts] == [True, False]
    fetched = {path.name for path in (house.folder / "worker").rglob("*") if path.is_file()}
    rungs = [file.rung for file in files(client, shared, 1, "weights") if file.sha256 in fetched]
    [resumed, last] = rungs
    assert resumed < last == 3


def test_a_members_file_answers_like_its_slice_of_the_shared_weights(
    client, shared, kept, digits, tmp_path
):
    _, supernet = kept
    images = loading.load(digits)
    x_NCHW = images.validation.x_NCHW[:64].float()
    members = [trial for trial in client.trials(shared.id) if trial.phase == Phase.SEARCH]
    assert members
    for trial in members:
        context = TrialContext(
            members=FamilyMembers(largest=STUDENT),
            data=images,
            device=DEVICE,
            seed=trial.seed,
            supernet=supernet,
            task=IMAGE_CLASSIFICATION,
        )
        member = pipeline.start(supernet, trial.candidate, context).network
        [file] = files(client, shared, trial.number, "onnx")
        session = onnxruntime.InferenceSession(client.download(file.id, tmp_path))
        [answers] = session.run(None, {"input": x_NCHW.numpy()})
        own = inference.logits(member, x_NCHW, device=DEVICE).numpy()
        np.testing.assert_allclose(answers, own, atol=1e-3, rtol=1e-3)
        origin = told(client, shared, trial.number).origin
        assert origin.supernet_sha256 == shared.supernet_sha256


def test_another_job_takes_slices_of_the_same_weights_without_training_them(
    client, shared, kept, asked
):
    path, supernet = kept
    client.upload_model(
        path, name="shared", architecture=STUDENT, normalisation=supernet.normalisation
    )
    changes = {"supernet": {"epochs": 0, "model": "shared"}, "budget": {"trials": 3}}
    job = watched(client, JobSpec.model_validate(asked.model_dump() | changes))
    assert (job.state, job.supernet_sha256) == (JobState.SUCCEEDED, shared.supernet_sha256)
    trials = list(client.trials(job.id))
    assert [trial.phase for trial in trials] == ["baseline", "search", "search", "test"]
    before = {t.candidate_digest: t.file for t in client.trials(shared.id)}
    members = {t.candidate_digest: t.file for t in trials[1:3]}
    assert members.items() <= before.items()
