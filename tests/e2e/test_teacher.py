"""A teacher uploaded for a job: a worker fetches it, and the candidate learns from it."""

import json

import pytest
import safetensors.torch
import torch

from compress import pipeline
from compress.network.families.residual.config import Residual
from compress.network.sources import safetensors as weights
from compress.tasks import loading
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.training.context import TrialContext
from compress.training.distillation.teacher import TeacherLogits
from featherweight import jobfile
from featherweight.client.transport import file_digest
from featherweight.specs import manifest
from featherweight.specs.states import JobState
from tests.compress.applying import untrained
from tests.devices import DEVICE
from tests.e2e.conftest import TINY

pytestmark = pytest.mark.proof
LARGER = Residual(widths=(6, 12), depths=(1, 1))


@pytest.fixture(scope="module")
def images(digits):
    return loading.load(digits)


@pytest.fixture(scope="module")
def teacher(images):
    """A network that was trained for two epochs, wider than the one of the job."""
    context = TrialContext(data=images, device=DEVICE, seed=1, task=IMAGE_CLASSIFICATION)
    return pipeline.train_baseline(untrained(LARGER, context), epochs=2, context=context)


@pytest.fixture(scope="module")
def taught(house, client, digits, teacher, tmp_path_factory):
    """The digest of the teacher's file, and a job that learns from it, at its end."""
    folder = tmp_path_factory.mktemp("job")
    weights.save(teacher, folder / "large.safetensors")
    given = {
        "path": "large.safetensors",
        "architecture": LARGER.model_dump(mode="json"),
        "normalisation": teacher.normalisation.model_dump(mode="json"),
    }
    changes = {
        "data": client.upload_dataset(digits, name="digits").name,
        "teacher": given,
        "techniques": {"distillation": {"teacher": "uploaded", "weight": [0.9]}},
        "budget": {"trials": 2, "parallel_trials": 1},
        "early_stopping": {"rungs": [1]},
        "finish": {"trials": 0},
    }
    (folder / "job.json").write_text(json.dumps(TINY | changes))
    house.start("worker")
    job = client.submit(jobfile.read(folder / "job.json").resolve(client))
    for _ in client.watch(job.id):
        pass
    yield file_digest(folder / "large.safetensors"), client.job(job.id)
    assert house.kill("worker", 15) == 0


def told(client, trial):
    [file] = [file for file in client.artifacts(trial.id) if file.role == "onnx"]
    return manifest.load(json.dumps(client.manifest(file.id)))


def test_a_file_says_which_uploaded_teacher_its_candidate_learned_from(taught, client):
    digest, job = taught
    assert job.state == JobState.SUCCEEDED
    baseline, learner, *_ = client.trials(job.id)
    assert told(client, learner).origin.tutor_sha256 == digest
    assert told(client, baseline).origin.tutor_sha256 is None
    assert [step.teacher for step in learner.candidate.steps] == ["uploaded"]


@pytest.mark.usefixtures("taught")
def test_what_the_worker_learned_from_are_the_answers_of_the_uploaded_teacher(
    house, images, teacher
):
    kept = list((house.folder / "worker" / "logits").iterdir())
    assert kept
    assert len({path.name.split("-")[1] for path in kept}) == 1
    number = int(kept[0].stem.rsplit("-", 1)[1])
    own = TeacherLogits(teacher, images.train, device=DEVICE, task=IMAGE_CLASSIFICATION).logits(
        number
    )
    used = safetensors.torch.load_file(kept[0])["logits"]
    torch.testing.assert_close(used, own, atol=1e-4, rtol=1e-4)
