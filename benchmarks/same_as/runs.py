"""Run the scenarios in a house, one after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.same_as import jobs
from benchmarks.same_as.api import Json
from benchmarks.same_as.house import House, until
from benchmarks.same_as.jobs import Scenario

_LONGEST = 900.0
_OVER = frozenset({"succeeded", "failed", "cancelled"})


def run(house: House, scenarios: Sequence[Scenario], data: Path) -> dict[str, str]:
    """Run the scenarios to their ends; the id of each one's job by its name.

    The worker starts once the first job has all of its candidates.
    """
    upload(house, data)
    found: dict[str, str] = {}
    for scenario in scenarios:
        began = time.monotonic()
        found[scenario.name] = _submit(house, scenario, found)
        if len(found) == 1:
            house.start("worker")
        ended = ended_job(house, found[scenario.name])
        took = time.monotonic() - began
        print(f"  {scenario.name}: {ended['state']} after {took:.0f} s", flush=True)
        if scenario.name == "techniques":
            _upload_baseline(house, found["techniques"])
    return found


def upload(house: House, data: Path) -> None:
    """Upload the dataset that every job is on."""
    house.api.upload("/v1/datasets", data, {"name": jobs.DATA, "task": "image_classification"})


def ended_job(house: House, job: str) -> Json:
    """The job once it is over."""

    def look() -> Json:
        house.is_well()
        document = house.api.get(f"/v1/jobs/{job}")
        return document if document["state"] in _OVER else None

    return until(look, seconds=_LONGEST)


def _submit(house: House, scenario: Scenario, before: Mapping[str, str]) -> str:
    warm = {} if scenario.warm_from is None else _warm(before[scenario.warm_from])
    job = house.api.post("/v1/jobs", dict(scenario.spec) | _for_onnxruntime(house) | warm)["id"]
    if scenario.candidates:
        asked = [{"steps": steps} for steps in scenario.candidates]
        house.api.post(f"/v1/jobs/{job}/candidates", asked)
    return job


def _for_onnxruntime(house: House) -> Json:
    """The target of all files of versions that had none; the default is another by now."""
    fields = house.api.get("/v1/schemas/job")["properties"]
    return {"target": "onnxruntime"} if "target" in fields else {}


def _warm(job: str) -> Json:
    return {"warm_start": {"jobs": [job], "candidates": 2}}


def _upload_baseline(house: House, job: str) -> None:
    """Upload the weights of a job's baseline as a model."""
    baseline = next(house.api.items(f"/v1/jobs/{job}/trials"))
    files = house.api.get(f"/v1/trials/{baseline['id']}/artifacts")
    ids = {file["role"]: file["id"] for file in files}
    manifest = house.api.get(f"/v1/artifacts/{ids['onnx']}/manifest")
    path = house.folder / "baseline.safetensors"
    path.write_bytes(house.api.content(ids["weights"]))
    spec = {
        "name": jobs.UPLOADED,
        "architecture": manifest["architecture"],
        "normalisation": manifest["input"]["normalisation"],
    }
    house.api.upload("/v1/models", path, spec)
