"""Job files: what they may say, and what is told about those that are wrong."""

import json
from contextlib import ExitStack

import numpy as np
import pytest
import safetensors.numpy
import yaml

from compress.network.families import layout
from featherweight import jobfile
from featherweight.errors import Conflict, InvalidJobFile, UploadRefused
from tests import onnx_files
from tests.factories import ARCHITECTURE, NORMALISATION, TAUGHT
from tests.running import ROOT

JOB = {
    "name": "mine",
    "model": {"architecture": {"widths": [4, 8], "depths": [1, 1]}, "epochs": 1},
    "data": "digits",
    "techniques": {"quantization": {}},
    "objectives": ["maximise accuracy", "minimise size_bytes"],
}


@pytest.fixture
def write(tmp_path):
    def written(text=None, **changes):
        path = tmp_path / "job.yaml"
        path.write_text(text if text is not None else yaml.safe_dump(JOB | changes))
        return path

    return written


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "my data.npz"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 16, (40, 8, 8), dtype=np.uint8)
    np.savez(path, x_train=images, y_train=np.arange(40) % 4)
    return path


def test_the_example_is_a_valid_job_of_thirty_trials():
    job = jobfile.read(ROOT / "examples" / "digits.yaml")
    assert job.spec.budget.trials == 30
    assert job.data == jobfile.SampleData(sample="digits")
    assert set(job.spec.techniques) == {
        "family_member", "filter_pruning", "distillation", "quantization",
    }  # fmt: skip


def test_json_is_read_like_yaml(write, tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(JOB))
    assert jobfile.read(path).spec == jobfile.read(write()).spec


def test_a_job_that_only_names_uploads_is_posted_as_it_is(write, client):
    job = jobfile.read(write(model="network"))
    assert job.resolve(client) == job.spec
    assert (job.spec.model, job.spec.data) == ("network", "digits")


def everything(client):
    return {item.id for listed in (client.datasets(), client.models()) for item in listed}


def test_what_a_dry_run_uploads_goes_and_what_was_there_stays(write, client, dataset, tmp_path):
    (tmp_path / "net.onnx").write_bytes(onnx_files.network(classes=4))
    kept = client.upload_dataset(dataset, name="was-there")
    before = everything(client)
    for data in ({"path": dataset.name}, {"path": dataset.name, "name": kept.name}):
        job = jobfile.read(write(data=data, model={"path": "net.onnx"}))
        with ExitStack() as undo:
            spec = job.resolve(client, undo=undo)
            assert client.dry_run(spec).data == kept.info
            assert everything(client) > before
        assert everything(client) == before
    assert client.dataset(kept.name) == kept


def test_a_dry_run_that_is_refused_leaves_nothing_either(write, client, dataset, tmp_path):
    (tmp_path / "net.onnx").write_bytes(onnx_files.network()[:-40])
    before = everything(client)
    job = jobfile.read(write(data={"path": dataset.name}, model={"path": "net.onnx"}))
    with pytest.raises(UploadRefused), ExitStack() as undo:
        job.resolve(client, undo=undo)
    assert everything(client) == before


def test_what_a_job_has_begun_to_use_stays(write, client, dataset):
    job = jobfile.read(write(data={"path": dataset.name, "name": "in-use"}))
    with ExitStack() as undo:
        made = client.submit(job.resolve(client, undo=undo))
    assert client.dataset("in-use").name == made.spec.data
    client.cancel(made.id)


def test_a_sample_is_uploaded_once(write, client):
    job = jobfile.read(write(data={"sample": "digits"}))
    names = {job.resolve(client).data for _ in range(2)}
    assert len(names) == 1
    assert client.dataset(names.pop()).info.num_classes == 10


def test_a_file_beside_the_job_is_uploaded_under_a_name_of_its_content(write, client, dataset):
    first = jobfile.read(write(data={"path": dataset.name})).resolve(client)
    again = jobfile.read(write(data={"path": str(dataset)})).resolve(client)
    assert first.data == again.data
    assert first.data.startswith("my-data-")
    assert client.dataset(first.data).info.splits["train"] == 32


def test_a_dataset_name_that_means_other_bytes_gets_a_suffix(write, client, dataset, tmp_path):
    np.savez(
        tmp_path / "b.npz",
        x_train=np.eye(8, dtype=np.uint8)[None].repeat(9, 0),
        y_train=np.arange(9) % 3,
    )
    one = jobfile.read(write(data={"path": dataset.name, "name": "taken"})).resolve(client)
    other = jobfile.read(write(data={"path": "b.npz", "name": "taken"})).resolve(client)
    assert one.data == "taken"
    assert other.data.startswith("taken-")


def test_weights_beside_the_job_are_uploaded_with_their_architecture(write, client, tmp_path):
    shapes = layout.tensor_shapes(ARCHITECTURE, in_channels=1, num_classes=4)
    tensors = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    safetensors.numpy.save_file(tensors, tmp_path / "w.safetensors")
    model = {
        "path": "w.safetensors",
        "architecture": ARCHITECTURE.model_dump(mode="json"),
        "normalisation": NORMALISATION.model_dump(mode="json"),
    }
    named = jobfile.read(write(model=model)).resolve(client).model
    assert client.model(named).architecture == ARCHITECTURE
    other = model | {"normalisation": {"scale": 1, "mean": [0], "std": [1]}, "name": named}
    with pytest.raises(Conflict):
        jobfile.read(write(model=other)).resolve(client)


def test_a_teacher_beside_the_job_is_uploaded_like_the_model(write, client, tmp_path):
    larger = ARCHITECTURE.model_copy(update={"widths": (6, 12)})
    shapes = layout.tensor_shapes(larger, in_channels=1, num_classes=4)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    safetensors.numpy.save_file(tensors, tmp_path / "large.safetensors")
    teacher = {
        "path": "large.safetensors",
        "architecture": larger.model_dump(mode="json"),
        "normalisation": NORMALISATION.model_dump(mode="json"),
    }
    spec = jobfile.read(write(teacher=teacher, techniques=TAUGHT)).resolve(client)
    assert spec.teacher is not None
    assert spec.teacher.startswith("large-")
    assert client.model(spec.teacher).architecture == larger
    assert spec.model == jobfile.read(write()).spec.model


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"name": "my/job"}, "name: 'my/job' is no name of a job: .*, for example 'my job'"),
        ({"name": "-" + 200 * "x"}, r"name: '-x+\.\.\.' is no name of a job: expected at most 100"),
        ({"name": "\u00a0"}, r"is no name of a job: .*not beginning with '-' or '\.'$"),
        ({"budget": {"trials": 1}}, r"budget\.trials: Input should be greater"),
        ({"objectives": ["maximise size_bytes"]}, "only be something to minimise"),
        ({"constraints": ["accuracy >= lots"]}, "cannot read the value 'lots'"),
        ({"techniques": {"magic": {}}}, "unknown technique 'magic'"),
        ({"data": {"sample": "cats"}}, "unknown sample 'cats', expected one of"),
        ({"data": {"path": "nowhere.npz"}}, "there is no file .*nowhere.npz"),
        ({"data": {"path": "x.npz", "url": "http://x"}}, "url: Extra inputs"),
        ({"model": {"path": "w.safetensors"}}, "model: .*weights without a network"),
        ({"teacher": {"path": "w.safetensors"}}, "teacher: .*weights without a network"),
        ({"model": {"path": "nowhere.onnx"}}, "there is no file .*nowhere.onnx"),
        ({"model": {"path": "w", "architecture": {}}}, "model: .*need their normalisation"),
        ({"teacher": {"sample": "w"}}, "teacher: Input should be a valid string"),
        ({"teacher": "large"}, "no candidate would learn from the teacher 'large'"),
        ({"techniques": TAUGHT}, "name an uploaded model as the job's teacher"),
    ],
)
def test_a_wrong_job_is_refused_with_the_place_and_the_reason(write, changes, words):
    with pytest.raises(InvalidJobFile, match=words) as raised:
        jobfile.read(write(**changes))
    assert "\n" in str(raised.value) or "job.yaml" in str(raised.value) or "nowhere" in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", "cannot be read as YAML or JSON"),
        ("- a\n- b\n", "expected a mapping of a job's fields, got list"),
        ("", "got NoneType"),
        ("name: a\nname: b\n", "line 1: 'name' stands twice"),
        ("!!python/object/apply:os.system [true]", "cannot be read as YAML or JSON"),
        ("seed: " + "9" * 60_000, "cannot be read as YAML or JSON"),
        ("seed: " + "1:" * 20_000 + "1.5", "cannot be read as YAML or JSON"),
        ("name: 2001-13-41", "cannot be read as YAML or JSON"),
        ("budget: {seconds: .inf}", "cannot be read as YAML or JSON"),
    ],
)
def test_a_file_that_is_no_job_is_refused(write, text, words):
    with pytest.raises(InvalidJobFile, match=words):
        jobfile.read(write(text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidJobFile, match=r"cannot read .*none\.yaml: No such file"):
        jobfile.read(tmp_path / "none.yaml")


@pytest.mark.proof
def test_an_onnx_file_beside_the_job_is_uploaded_and_waited_for(write, client, tmp_path):
    (tmp_path / "mynet.onnx").write_bytes(onnx_files.network())
    names = {jobfile.read(write(model={"path": "mynet.onnx"})).resolve(client).model}
    names |= {jobfile.read(write(model={"path": "mynet.onnx"})).resolve(client).model}
    [name] = names
    assert name.startswith("mynet-")
    assert client.model(name).state == "ready"


@pytest.mark.proof
def test_an_onnx_file_that_cannot_be_used_is_told_with_the_reasons(write, client, tmp_path):
    (tmp_path / "odd.onnx").write_bytes(onnx_files.network(batch=4))
    job = jobfile.read(write(model={"path": "odd.onnx"}))
    with pytest.raises(UploadRefused, match="no input has a batch axis"):
        job.resolve(client)


def test_a_teacher_nobody_learns_from_is_called_by_its_field(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(
        "model: {path: net.onnx}\nteacher: {path: other.onnx}\ndata: digits\n"
        "objectives: [maximise accuracy, minimise size_bytes]\ntechniques: {quantization: {}}\n"
    )
    with pytest.raises(InvalidJobFile, match="from the teacher 'teacher-file'"):
        jobfile.read(path)
