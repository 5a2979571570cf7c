"""A job probes its model with a real worker, and a second job on the same model does without."""

import json

import pytest

from compress import pipeline
from compress.network.families.residual.config import Residual
from compress.network.sources import safetensors
from compress.sensitivity.document import ProfileDocument
from compress.tasks import loading
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.training.context import TrialContext
from featherweight import jobfile
from featherweight.specs.states import JobState, Phase
from tests.compress.applying import untrained
from tests.devices import DEVICE
from tests.e2e.conftest import TINY

pytestmark = pytest.mark.proof
OWN = Residual(widths=(4, 8), depths=(1, 1))
CHANGES = {
    "techniques": {"filter_pruning": {}, "quantization": {"weight_bits": [8, 4, 2]}},
    "profile": {"images": 32},
    "budget": {"trials": 5, "parallel_trials": 1},
    "early_stopping": {"rungs": [0]},
    "finish": {"trials": 0},
}


@pytest.fixture(scope="module")
def asked(client, digits, tmp_path_factory):
    """A job on a trained network that was uploaded."""
    images = loading.load(digits)
    context = TrialContext(data=images, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)
    network = pipeline.train_baseline(untrained(OWN, context), epochs=10, context=context)
    folder = tmp_path_factory.mktemp("job")
    safetensors.save(network, folder / "network.safetensors")
    given = {
        "path": "network.safetensors",
        "architecture": OWN.model_dump(mode="json"),
        "normalisation": network.normalisation.model_dump(mode="json"),
    }
    name = client.upload_dataset(digits, name="digits").name
    (folder / "job.json").write_text(json.dumps(TINY | CHANGES | {"data": name, "model": given}))
    return jobfile.read(folder / "job.json").resolve(client)


@pytest.fixture(scope="module")
def both(house, client, asked):
    """Two jobs alike, one after the other, at their ends."""
    house.start("worker")
    jobs = []
    for _ in range(2):
        jobs.append(client.submit(asked))
        for _ in client.watch(jobs[-1].id):
            pass
    yield [client.job(job.id) for job in jobs]
    assert house.kill("worker", 15) == 0


def document(client, job, folder):
    trial = list(client.trials(job.id))[1]
    files = {file.role: file for file in client.artifacts(trial.id)}
    path = client.download(files["profile"].id, folder)
    return files, ProfileDocument.model_validate_json(path.read_bytes())


def test_the_first_job_probes_and_the_second_uses_what_was_found(client, both):
    first, second = both
    assert (first.state, second.state) == (JobState.SUCCEEDED, JobState.SUCCEEDED)
    phases = [
        [trial.phase for trial in client.trials(job.id) if trial.phase != Phase.TEST]
        for job in both
    ]
    assert phases[0] == [Phase.BASELINE, Phase.PROFILE] + [Phase.SEARCH] * 3
    assert phases[1] == [Phase.BASELINE] + [Phase.SEARCH] * 3
    assert first.profile_sha256 == second.profile_sha256 is not None


def test_the_profile_is_a_file_that_says_what_every_layer_can_lose(client, both, tmp_path):
    files, found = document(client, both[0], tmp_path)
    assert files["profile"].sha256 == both[0].profile_sha256 == found.digest()
    baseline = next(client.trials(both[0].id))
    assert files["onnx"].sha256 == baseline.file
    assert (found.images, found.is_complete) == (32, True)
    assert len(found.layers) == 7
    assert all(layer.points[0].damage >= layer.points[-1].damage for layer in found.layers)


def test_both_search_the_same_candidates_and_the_baseline_is_once_on_the_front(client, both):
    searched = [
        [t.candidate_digest for t in client.trials(job.id) if t.phase == Phase.SEARCH]
        for job in both
    ]
    assert searched[0] == searched[1]
    origins = [trial.origin for trial in client.trials(both[0].id)]
    assert "allocation" in origins
    for job in both:
        assert Phase.PROFILE not in {point.phase for point in client.front(job.id).points}
