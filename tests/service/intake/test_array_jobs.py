"""Jobs on examples that are no images: what is taken, what fits, and what is refused."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest

from compress.network.sources import onnx_inspection
from compress.network.sources.source import OnnxSource
from featherweight.specs.states import JobState
from featherweight.system.bounded import EndedProcess, ProcessBounds
from service.intake import data_files
from store.files import inspections, models
from tests import factories
from tests.compress.export.ports.port_networks import exported as ports
from tests.compress.onnx_networks import exported
from tests.compress.tasks.conversion.hostile_parquet import saved
from tests.service.running import claim, form, npz, problem

COUNT = 60
LABELS = np.arange(COUNT) % 4
IDS = np.random.default_rng(0).integers(0, 20, (COUNT, 9))
SEARCHED = {"quantization": {"weight_bits": [8, 4]}}


def sent(service, x, name="rows", **fields):
    content = npz(x_train=x, y_train=LABELS, x_test=x, y_test=LABELS)
    said = {"task": "classification", **fields}
    return service.client.post("/v1/datasets", **form(content, name=name, **said))


def ready(service, shape=(9,), name="mine", content=None):
    """A network, inspected; if no other is given one of ids that leaves their number open."""
    content = content or exported("text_cnn")
    with service.database.write() as session:
        stored = service.files.put([content], limit=10**6)
        source = OnnxSource(sha256=stored.sha256, input_shape=shape)
        models.create(
            session, name=name, stored=stored, source=source, normalisation=None, info=None
        )
        begun = inspections.begin(session)
    found = onnx_inspection.inspect(content, input_shape=shape)
    with service.database.write() as session:
        assert inspections.finish(
            session,
            begun,
            info=found.info.model_dump(mode="json"),
            outline=found.outline.model_dump(mode="json"),
            normalisation=found.info.identity.model_dump(mode="json"),
        )


def posted(service, **changes):
    job = json.loads(factories.spec().model_dump_json())
    given = {"task": "classification", "model": "mine", "data": "rows", "techniques": SEARCHED}
    return service.client.post("/v1/jobs", json=job | given | changes)


def why_not(service, **changes):
    return problem(posted(service, **changes), 422, "ModelDoesNotFitData")["detail"]


def test_arrays_are_a_dataset_of_their_task(service):
    answer = sent(service, IDS)
    assert answer.status_code == 201, answer.text
    info = answer.json()["info"]
    assert (info["task"], info["input_shape"], info["is_whole"]) == ("classification", [9], True)
    assert info["notes"] == ["examples are int64 up to 19: as uint8"]
    assert info["origin"]["reading"]["task"] == "classification"
    again = sent(service, IDS)
    assert (again.status_code, again.json()) == (200, answer.json())


def test_no_sheet_is_drawn_of_what_is_no_image(service):
    sent(service, IDS)
    answer = service.client.get("/v1/datasets/rows/preview")
    assert "has no images to draw a sheet of" in problem(answer, 422, "InvalidData")["detail"]


def test_plain_arrays_are_kept_as_they_are(service):
    answer = sent(service, IDS.astype(np.float32)[:, None, :])
    assert answer.status_code == 201, answer.text
    assert (answer.json()["info"]["origin"], answer.json()["info"]["input_shape"]) == (None, [1, 9])


def csv_table():
    lines = [f"{n},{n % 5},{'uvw'[n % 3]}" for n in range(COUNT)]
    return "\n".join(["length,width,kind", *lines]).encode()


def parquet_table():
    rows = range(COUNT)
    columns = {"length": list(rows), "width": [n % 5 for n in rows]}
    return saved(columns | {"kind": ["uvw"[n % 3] for n in rows]})


@pytest.mark.parametrize(("kind", "make"), [("csv", csv_table), ("parquet", parquet_table)])
def test_a_table_becomes_a_dataset_that_says_its_columns(kind, make, service):
    content = make()
    fields = {"name": "rows", "task": "classification", "target": "kind", "features": ["width"]}
    answer = service.client.post("/v1/datasets", **form(content, **fields))
    assert answer.status_code == 201, answer.text
    info = answer.json()["info"]
    assert (info["input_shape"], info["class_names"]) == ([1], ["u", "v", "w"])
    assert info["origin"]["format"] == kind
    assert info["origin"]["reading"]["features"] == ["width"]
    again = service.client.post("/v1/datasets", **form(content, **fields))
    assert (again.status_code, again.json()) == (200, answer.json())


@pytest.mark.parametrize(
    ("x", "fields", "code", "words"),
    [
        (np.full((COUNT, 3), "a"), {}, "InvalidData", "examples must be numbers"),
        (
            IDS,
            {"layout": "NCHW"},
            "RequestValidationError",
            "layout, size and channels are for images",
        ),
        (LABELS.astype("f4"), {}, "InvalidData", "with 1 to 6 axes for one example"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(service, x, fields, code, words):
    answer = sent(service, x, **fields)
    assert words in json.dumps(problem(answer, 422, code))


def test_a_worker_is_told_the_task(service):
    sent(service, IDS)
    ready(service)
    answer = posted(service)
    assert answer.status_code == 201, answer.text
    job = answer.json()["id"]
    with service.database.write() as session:
        record = factories.jobs.get(session, job)
        factories.jobs.move(session, record, JobState.RUNNING)
        factories.baseline_trial(session, record)
    assert claim(service).json()["task"] == "classification"


def test_without_techniques_a_job_tries_all_but_those_of_images(service):
    sent(service, IDS)
    ready(service)
    answer = service.client.post(
        "/v1/jobs",
        json={
            "task": "classification",
            "model": "mine",
            "data": "rows",
            "objectives": ["maximise accuracy"],
        },
    )
    assert answer.status_code == 201, answer.text
    found = set(answer.json()["spec"]["techniques"])
    assert {"quantization", "distillation"} < found
    assert not found & {"mirroring", "family_member"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"techniques": {"mirroring": {}}}, "techniques.mirroring is for images"),
        ({"recovery": {"augment": "shift"}}, "recovery.augment is 'shift', and only images"),
    ],
)
def test_what_only_images_have_is_refused(service, changes, words):
    sent(service, IDS)
    ready(service)
    answer = posted(service, **changes)
    assert words in json.dumps(problem(answer, 422, "RequestValidationError"))


def test_the_task_of_a_job_is_that_of_its_data(service):
    sent(service, IDS)
    ready(service)
    assert "was sent for classification" in why_not(service, task="image_classification")


def test_networks_of_families_take_only_images(service):
    sent(service, IDS)
    model = json.loads(factories.spec().model_dump_json())["model"]
    answer = posted(service, model=model)
    assert "examples of 'rows' have shape (9,)" in answer.text


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (IDS + 1, "takes ids from 0 to 19, the data 'rows' has whole numbers from 1 to 20"),
        (IDS - 1, "whole numbers from -1 to 18"),
        (IDS / 2, "numbers that are not all whole from 0 to 9.5"),
        (IDS[:, :8], "takes examples of shape (9) (input (N, length))"),
    ],
)
def test_data_that_the_network_cannot_take_is_refused_before_anything_runs(service, x, words):
    sent(service, x)
    ready(service)
    assert words in why_not(service)


def test_images_for_a_network_of_rows_name_the_task(service):
    service.dataset()
    ready(service)
    said = why_not(service, task="image_classification", data="digits")
    assert "send the data again with task: classification" in said


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (-signal.SIGABRT, "the file broke what reads it: it was ended by SIGABRT. It is damaged"),
        (-signal.SIGKILL, "could not be read within 9 s and 2 GiB of memory: it was ended by SIGK"),
        (None, "could not be read within 9 s and 2 GiB of memory: it took too long"),
    ],
)
def test_a_reader_that_breaks_is_told_from_one_that_takes_long(status, words):
    ended = EndedProcess(status=status, answer=b"", error="")
    bounds = ProcessBounds(memory_bytes=2**31, seconds=9, answer_bytes=1)
    assert words in data_files._ended_badly(ended, bounds)


MIXED = {
    "image": np.random.default_rng(1).normal(size=(COUNT, 3, 6, 6)),
    "row": np.random.default_rng(2).normal(size=(COUNT, 5)),
    "input": np.arange(COUNT) / COUNT,
}


def mixed(service, *, names=("image", "row", "input"), **asked):
    """A job on a network of three inputs and four outputs, and data of arrays for these."""
    content = npz(
        **{f"{name}_{split}": MIXED[name] for split in ("train", "val") for name in names}
    )
    said = {"task": "unlabelled"}
    found = service.client.post("/v1/datasets", **form(content, name="parts", **said))
    assert found.status_code == 201, found.text
    ready(service, shape=None, content=ports("mixed"))
    return found.json()["info"], posted(
        service,
        task="unlabelled",
        data="parts",
        objectives=["maximise agreement", "minimise size_bytes"],
    )


def test_a_network_of_several_inputs_is_given_what_the_data_names(service):
    info, job = mixed(service)
    assert job.status_code == 201, job.text
    assert info["input_shape"] == [114]
    assert [(part["name"], part["shape"]) for part in info["inputs"]] == [
        ("image", [3, 6, 6]),
        ("row", [5]),
        ("input", []),
    ]


def test_parts_in_another_order_than_the_inputs_are_refused(service):
    _, job = mixed(service, names=("row", "image", "input"))
    found = problem(job, 422, "ModelDoesNotFitData")
    assert "with its arrays in the order of the inputs" in found["detail"]
