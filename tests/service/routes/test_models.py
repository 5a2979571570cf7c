"""ONNX files in: inspected in a process of their own, ready or refused with words."""

from __future__ import annotations

import os
from dataclasses import replace

import psutil
import pytest

from compress.network.sources.source import OnnxSource
from featherweight.specs.states import ModelState
from service.housekeeping import inspector
from store.files import inspections, models
from store.session import Database
from tests import onnx_files
from tests.service.running import (
    MODEL_FIELDS,
    form,
    npz,
    problem,
    serve,
    sha256,
    until,
    weights,
)

NETWORK = onnx_files.network()
ODD = onnx_files.network(batch=4)


def onnx(stored):
    """Fields of a model that waits for its inspection."""
    return {"source": OnnxSource(sha256=stored.sha256), "normalisation": None, "info": None}


def uploaded(service, content=NETWORK, status=201, name="mine", **fields):
    answer = service.client.post("/v1/models", **form(content, name=name, **fields))
    assert answer.status_code == status, answer.text
    return answer.json()


def found(service, name="mine"):
    return service.client.get(f"/v1/models/{name}").json()


def inspected(service, name="mine"):
    """The model once its inspection has ended."""
    until(lambda: found(service, name)["state"] != "inspecting", seconds=60)
    return found(service, name)


def refused(service, content, **fields):
    uploaded(service, content, name="odd", **fields)
    model = inspected(service, "odd")
    assert (model["state"], model["info"]) == ("refused", None)
    [reason] = model["reasons"]
    return reason


@pytest.fixture(scope="module")
def ready(house):
    """The model ``mine``, after its inspection."""
    model = uploaded(house)
    assert (model["state"], model["format"], model["info"]) == ("inspecting", "onnx", None)
    assert (model["architecture"], model["normalisation"]) == (None, None)
    return inspected(house)


def test_a_network_is_inspected_and_then_ready_with_what_is_in_it(house, ready):
    model, info = ready, ready["info"]
    assert (model["state"], model["reasons"], model["sha256"]) == ("ready", [], sha256(NETWORK))
    assert model["normalisation"] == {"scale": 1.0, "mean": [0.0], "std": [1.0]}
    port = {"name": "pixels", "dtype": "float32", "shape": ["batch", 1, 8, 8]}
    assert (info["inputs"], info["layout"], info["input_shape"]) == ([port], "NCHW", [1, 8, 8])
    assert [one["name"] for one in info["outputs"]] == ["scores"]
    assert [layer["name"] for layer in info["layers"]] == ["first", "last"]
    assert info["macs"] == 8 * 9 * 64 + 2 * 8
    assert info["operators"]["Conv"] == 1
    assert "inspections" not in model
    listed = house.client.get("/v1/models").json()["items"]
    assert next(one for one in listed if one["name"] == "mine") == model


def test_the_same_file_again_is_the_same_model(house, ready):
    assert uploaded(house, status=200) == ready
    other = form(ODD, name="mine")
    problem(house.client.post("/v1/models", **other), 409, "NameTaken")


@pytest.mark.proof
def test_a_normalisation_and_a_size_may_come_along(house):
    given = {"scale": 0.0625, "mean": [0.5], "std": [0.25]}
    content = onnx_files.network(image=(1, "height", "width"))
    uploaded(house, content, name="open", normalisation=given, input_shape=[1, 16, 8])
    model = inspected(house, "open")
    assert model["normalisation"] == given
    assert model["info"]["input_shape"] == [1, 16, 8]
    problem(house.client.post("/v1/models", **form(content, name="open")), 409, "NameTaken")


def test_a_refused_file_says_why_and_is_inspected_anew_when_it_is_sent_again(house):
    reason = refused(house, ODD)
    assert "no input has a batch axis" in reason
    again = uploaded(house, ODD, 200, name="odd")
    assert (again["state"], again["reasons"]) == ("inspecting", [])
    assert house.client.delete("/v1/models/odd").status_code == 204


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (npz(), "featherweight datasets add"),
        (b"\x80\x04nothing", "pickle"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (weights(), "it holds no network"),
    ],
    ids=["empty", "zip", "pickle", "hdf5", "safetensors"],
)
def test_a_file_of_another_kind_is_refused_at_once(house, content, words):
    answer = house.client.post("/v1/models", **form(content, name="other"))
    assert words in problem(answer, 422, "InvalidNetwork")["detail"]
    problem(house.client.get("/v1/models/other"), 404, "ModelNotFound")


def test_an_onnx_file_with_an_architecture_is_told_to_leave_it_out(house):
    answer = house.client.post("/v1/models", **form(NETWORK, **MODEL_FIELDS | {"name": "both"}))
    assert "leave architecture out" in problem(answer, 422, "InvalidWeights")["detail"]


def test_weights_need_a_normalisation(house):
    fields = {"name": "bare", "architecture": MODEL_FIELDS["architecture"]}
    answer = house.client.post("/v1/models", **form(weights(), **fields))
    assert "normalisation is missing" in str(
        problem(answer, 422, "RequestValidationError")["errors"]
    )


def test_a_model_can_be_deleted_while_it_is_inspected(house):
    content = onnx_files.network(seed=4)
    model = uploaded(house, content, name="brief")
    assert house.client.delete(f"/v1/models/{model['id']}").status_code == 204
    problem(house.client.get("/v1/models/brief"), 404, "ModelNotFound")
    until(lambda: not children(), seconds=60)
    assert not (house.files.content_folder / sha256(content)[:2] / sha256(content)).exists()
    problem(house.client.get("/v1/models/brief"), 404, "ModelNotFound")


def children():
    """The inspecting processes of this one."""
    found = psutil.Process(os.getpid()).children(recursive=True)
    return [child for child in found if "bounded" in " ".join(command_of(child))]


def command_of(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.proof
def test_a_service_that_stops_gives_its_inspection_back_and_the_next_one_begins_again(
    sqlite_url, tmp_path
):
    with serve(sqlite_url, tmp_path) as service:
        uploaded(service)
        until(lambda: bool(children()))
    assert not children()
    database = Database(sqlite_url)
    with database.read() as session:
        model = models.get(session, "mine")
        assert (model.state, model.inspections) == (ModelState.INSPECTING, 0)
    database.dispose()
    with serve(sqlite_url, tmp_path) as service:
        assert inspected(service)["state"] == "ready"


@pytest.mark.proof
def test_a_service_finishes_what_a_killed_one_has_begun(sqlite_url, tmp_path, monkeypatch):
    monkeypatch.setattr(inspector, "_LOOK_SECONDS", 0.05)
    with serve(sqlite_url, tmp_path) as service:
        with service.database.write() as session:
            stored = service.files.put([NETWORK], limit=10**6)
            model = models.create(session, name="left", stored=stored, **onnx(stored))
            begun = inspections.begin(session)
            assert begun is not None
            model.inspection_until = 1.0
        assert inspected(service, "left")["state"] == "ready"
        with service.database.write() as session:
            assert not inspections.refuse(session, replace(begun), ["late"])


def test_too_little_memory_and_time_are_told(sqlite_url, tmp_path):
    large = onnx_files.network(image=(16, 8, 8))
    with serve(sqlite_url, tmp_path, inspection_seconds=0.01) as service:
        reason = refused(service, large)
    assert "within 0.01 s" in reason
    assert "it took too long" in reason
