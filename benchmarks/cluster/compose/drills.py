"""Containers are killed and versions change in the middle of a job, which then ends as it should.

Every drill begins on empty volumes and raises AssertionError where a promise is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from benchmarks.cluster.compose import checks
from benchmarks.cluster.compose.stack import Site, Stack, until
from benchmarks.same_as.api import Api, Json
from compress.tasks import loading
from tests import digit_reader

_WORKERS = 2
_LONGEST = 1200.0
_JOB: Mapping[str, Any] = {
    "name": "drill",
    "data": "digits",
    "model": {"architecture": {"widths": [8, 16], "depths": [1, 1]}, "epochs": 8},
    "techniques": {"filter_pruning": {}, "distillation": {}, "quantization": {}},
    "objectives": ["maximise accuracy", "minimise size_bytes"],
    "budget": {"trials": 10, "parallel_trials": 3},
    "early_stopping": {"rungs": [0, 1], "eta": 2},
    "finish": {"trials": 1, "finalists": 1},
}


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a drill works with: this checkout, the one before, an npz dataset and a folder."""

    now: Stack
    before: Stack | None
    site: Site
    data: Path
    folder: Path


def killed(tools: Tools) -> str:
    """Service, searcher and a worker crash one after the other; then everything is killed."""
    with _up(tools.now, tools) as api:
        job = _submitted(api, tools, _JOB)
        until(lambda: checks.has_begun(api, job, ended=2), seconds=_LONGEST)
        for service in ("service", "searcher", "worker"):
            tools.now.crash(service)
        until(lambda: checks.has_begun(api, job, ended=4), seconds=_LONGEST)
        tools.now.kill()
        tools.now.up(workers=_WORKERS)
        return _ended(tools, api, job)


def upgraded(tools: Tools) -> str:
    """The version before is replaced while it runs, as the documents say."""
    return _upgraded(tools, is_stopped=False)


def upgraded_stopped(tools: Tools) -> str:
    """The version before is stopped in the middle, and the new one is started."""
    return _upgraded(tools, is_stopped=True)


def uploaded(tools: Tools) -> str:
    """A worker is killed in the middle of a job on an uploaded ONNX file."""
    with _up(tools.now, tools) as api:
        model = _upload(api, tools)
        job = _submitted(api, tools, {**_JOB, "model": model})
        until(lambda: checks.has_begun(api, job, ended=2), seconds=_LONGEST)
        tools.now.crash("worker", index=_WORKERS)
        said = _ended(tools, api, job)
        for path in tools.folder.glob("*.onnx"):
            _has_its_names(path)
        return f"{said}; names and metadata of the upload"


DRILLS: Mapping[str, Callable[[Tools], str]] = {
    drill.__name__: drill for drill in (killed, uploaded, upgraded, upgraded_stopped)
}
OF_TWO_VERSIONS = frozenset({"upgraded", "upgraded_stopped"})


def _upgraded(tools: Tools, *, is_stopped: bool) -> str:
    assert tools.before is not None
    with _up(tools.before, tools) as api:
        job = _submitted(api, tools, _JOB)
        until(lambda: checks.has_begun(api, job, ended=3), seconds=_LONGEST)
        left = _told(api, job)
        if is_stopped:
            tools.before.stop()
        tools.now.build()
        tools.now.up(workers=_WORKERS)
        said = _ended(tools, api, job)
        checks.kept(left, _told(api, job))
        return (
            f"{said}; {len(left)} trials of before are as they were; {_upload(api, tools)} is ready"
        )


def _told(api: Api, job: str) -> Mapping[str, Json]:
    """What is told about the trials that have ended, by their ids."""
    found = checks.trials(api, job)
    return {trial["id"]: trial for trial in found if trial["state"] in checks.ENDED}


@contextmanager
def _up(stack: Stack, tools: Tools) -> Iterator[Api]:
    """A stack that runs, with the dataset; nothing of it is left afterwards."""
    stack.build()
    try:
        stack.up(workers=_WORKERS)
        api = tools.site.api()
        api.upload("/v1/datasets", tools.data, {"name": "digits"})
        yield api
    finally:
        tools.now.down()


def _submitted(api: Api, tools: Tools, spec: Mapping[str, Any]) -> str:
    return str(api.post("/v1/jobs", dict(spec))["id"])


def _ended(tools: Tools, api: Api, job: str) -> str:
    document = checks.succeeded(api, job)
    spent = checks.exact(tools.now, api, document)
    found = list(checks.files(api, job, tools.folder, tools.data))
    return f"{spent}, none failed; {len(found)} files of the front open and answer"


def _upload(api: Api, tools: Tools) -> str:
    """Upload a small trained network and wait until it is ready; its name."""
    folder = tools.folder / "upload"
    folder.mkdir(exist_ok=True)
    path = digit_reader.write(folder / "reader.onnx", loading.load(tools.data))
    model = api.upload("/v1/models", path, {"name": "reader"})["id"]

    def look() -> Json:
        found = api.get(f"/v1/models/{model}")
        return None if found["state"] == "inspecting" else found

    found = until(look, seconds=_LONGEST)
    if found["state"] != "ready":
        raise AssertionError(f"the upload is {found['state']}: {found['reasons']}")
    return "reader"


def _has_its_names(path: Path) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ports = [*session.get_inputs(), *session.get_outputs()]
    names = tuple(port.name for port in ports)
    if names != digit_reader.PORTS or ports[0].shape != ["batch", 1, 8, 8]:
        raise AssertionError(f"{path}: ports {names}, {ports[0].shape}")
    told = session.get_modelmeta().custom_metadata_map
    if digit_reader.METADATA.items() - told.items():
        raise AssertionError(f"{path}: metadata {told}, expected {digit_reader.METADATA} among it")
