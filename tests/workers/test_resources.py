"""What a trial gets at hand: its data, the baseline, and the teacher that was uploaded."""

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from compress.network.families.network import build
from compress.network.network import Network, never
from compress.network.preprocessing import Normalisation
from compress.network.sources import safetensors as weights
from compress.network.sources.family import FamilyMembers
from compress.network.sources.source import OnnxSource
from compress.network.supernet.config import Elastic
from compress.techniques.candidate import Candidate
from compress.values.errors import InvalidNetwork
from featherweight.client.transport import file_digest
from featherweight.specs.protocol import Assignment, SupernetTask, Tutor, Weights
from tests import factories, onnx_files
from workers.files.cache import Cache
from workers.resources import TrialResources

LARGER = factories.ARCHITECTURE.model_copy(update={"widths": (6, 12)})
OTHER = Normalisation(scale=1 / 255, mean=(0.5,), std=(0.2,))


@pytest.fixture
def files(tmp_path):
    """Name to path of two networks and of data sets of two image sizes."""
    found = {}
    for name, architecture in (("small", factories.ARCHITECTURE), ("large", LARGER)):
        network = Network(
            module=build(architecture, in_channels=1, num_classes=2, seed=0),
            normalisation=factories.NORMALISATION,
            input_shape=(1, 8, 8),
            num_classes=2,
        )
        found[name] = tmp_path / f"{name}.safetensors"
        weights.save(network, found[name])
    found["onnx"] = tmp_path / "mynet.onnx"
    found["onnx"].write_bytes(onnx_files.network())
    for side in (8, 12):
        images = np.random.default_rng(0).integers(0, 16, (40, side, side), dtype=np.uint8)
        found[f"{side}x{side}"] = tmp_path / f"{side}.npz"
        np.savez(found[f"{side}x{side}"], x_train=images, y_train=np.arange(40) % 2)
    return found


@pytest.fixture
def resources(files, tmp_path):
    by_digest = {file_digest(path): path for path in files.values()}

    def fetch(sha256, target):
        target.write_bytes(by_digest[sha256].read_bytes())

    threads = torch.get_num_threads()
    cache = Cache(tmp_path / "cache", fetch=fetch, limit_bytes=10**7)
    yield TrialResources(cache, logits_folder=tmp_path / "logits")
    torch.set_num_threads(threads)


def given(files, name, normalisation=factories.NORMALISATION):
    return Weights(sha256=file_digest(files[name]), normalisation=normalisation)


def assignment(files, *, data="8x8", **changes):
    fields = {
        "attempt": "a",
        "token": "t",
        "lease_seconds": 30,
        "job": "j",
        "trial": "t",
        "number": 1,
        "phase": "search",
        "candidate": Candidate(),
        "seed": 0,
        "rungs": (0,),
        "architecture": factories.ARCHITECTURE,
        "train": None,
        "weights": given(files, "small"),
        "dataset": file_digest(files[data]),
        "num_classes": 2,
        "splits": ("validation",),
    }
    return Assignment.model_validate(fields | changes)


def test_an_uploaded_teacher_has_its_own_architecture_and_normalisation(resources, files):
    teacher = Tutor(weights=given(files, "large", OTHER), architecture=LARGER)
    context = resources.context(assignment(files, tutor=teacher), should_stop=never)
    assert context.uploaded_teacher is not None
    assert context.teacher is not None
    assert context.uploaded_teacher.normalisation == OTHER
    assert context.teacher.normalisation == factories.NORMALISATION
    assert context.uploaded_teacher.module.linear.in_features == 12
    assert context.teacher.module.linear.in_features == 8


def test_a_trial_that_learns_from_no_upload_has_no_uploaded_teacher(resources, files):
    assert resources.context(assignment(files), should_stop=never).uploaded_teacher is None


def test_the_same_weights_on_images_of_another_size_are_another_network(resources, files):
    for data, shape in (("8x8", (1, 8, 8)), ("12x12", (1, 12, 12))):
        context = resources.context(assignment(files, data=data), should_stop=never)
        assert context.teacher is not None
        assert context.teacher.input_shape == shape


def test_a_network_is_read_once_for_many_trials(resources, files):
    first, again = (resources.context(assignment(files), should_stop=never) for _ in range(2))
    assert first.teacher is again.teacher


def test_a_member_gets_the_supernet_of_its_students_architecture(resources, files):
    found = assignment(files, student=LARGER, supernet=given(files, "large", OTHER))
    context = resources.context(found, should_stop=never)
    assert context.members == FamilyMembers(largest=LARGER)
    assert context.supernet is not None
    assert context.supernet.module.architecture == LARGER
    assert context.supernet.normalisation == OTHER


def test_without_a_student_the_supernet_is_the_jobs_own_network(resources, files):
    context = resources.context(
        assignment(files, supernet=given(files, "small")), should_stop=never
    )
    assert context.supernet is not None
    assert context.members == FamilyMembers(largest=None)
    assert context.supernet.module.architecture == factories.ARCHITECTURE


def trains(files, checkpoint):
    wanted = SupernetTask(
        elastic=Elastic(widths=(0.5, 1.0)), epochs=2, start="fresh", checkpoint=checkpoint
    )
    return assignment(files, student=LARGER, supernet_task=wanted)


def test_a_checkpoint_is_as_far_as_the_supernet_is_trained(resources, files):
    found = trains(files, given(files, "large"))
    context = resources.context(found, should_stop=never)
    checkpoint = resources.checkpoint(found, context.data)
    assert checkpoint is not None
    kept = safetensors.torch.load_file(files["large"])
    assert torch.equal(checkpoint.module.get_parameter("conv1.weight"), kept["conv1.weight"])
    assert context.supernet is None


def test_before_the_first_checkpoint_there_is_none(resources, files):
    for found in (trains(files, None), assignment(files)):
        context = resources.context(found, should_stop=never)
        assert resources.checkpoint(found, context.data) is None


def of_file(files, name="onnx"):
    return OnnxSource(sha256=file_digest(files[name]))


def test_an_onnx_file_is_the_baseline_with_its_own_ports(resources, files):
    asked = assignment(files, architecture=of_file(files), weights=given(files, "onnx", OTHER))
    teacher = resources.context(asked, should_stop=never).teacher
    assert teacher is not None
    assert (teacher.input_shape, teacher.num_classes) == ((1, 8, 8), 2)
    assert teacher.normalisation == OTHER
    assert [port.name for port in teacher.signature.inputs] == ["pixels"]


def norms(network):
    return [part for part in network.module.modules() if isinstance(part, nn.BatchNorm2d)]


def test_norms_that_a_file_has_folded_away_come_back_where_a_trial_trains(resources, files):
    uploaded = {"architecture": of_file(files), "weights": given(files, "onnx")}
    still = resources.context(assignment(files, **uploaded), should_stop=never).teacher
    trained = assignment(files, rungs=(0, 2), **uploaded)
    context = resources.context(trained, should_stop=never)
    assert context.teacher is not None
    assert (len(norms(still)), len(norms(context.teacher))) == (0, 1)
    x_BCHW = context.data.validation.x_NCHW.float()
    with torch.no_grad():
        torch.testing.assert_close(context.teacher.module(x_BCHW), still.module(x_BCHW))
    again = resources.context(trained, should_stop=never)
    assert again.teacher is context.teacher


def test_an_onnx_file_may_teach(resources, files):
    teacher = Tutor(weights=given(files, "onnx"), architecture=of_file(files))
    context = resources.context(assignment(files, tutor=teacher), should_stop=never)
    assert context.uploaded_teacher is not None
    assert [port.name for port in context.uploaded_teacher.signature.outputs] == ["scores"]


def test_an_onnx_file_that_does_not_take_the_images_is_refused(resources, files):
    asked = assignment(
        files, data="12x12", architecture=of_file(files), weights=given(files, "onnx")
    )
    with pytest.raises(InvalidNetwork, match="does not take examples"):
        resources.context(asked, should_stop=never)
