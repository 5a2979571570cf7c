"""What holds after every drill: exact budgets, nothing twice, files that open and answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.cluster.compose.stack import Stack, until
from benchmarks.same_as.api import Api, Json
from benchmarks.same_as.comparing import lost

ENDED = frozenset({"complete", "stopped", "failed"})
_OVER = frozenset({"succeeded", "failed", "cancelled"})
_LONGEST = 1800.0
_NEAR = 0.006
"""Two images of 359: another machine's kernels may round the last bit otherwise."""
_TWICE = """
SELECT trial_id FROM fw_attempts WHERE state = 'delivered' AND detail = ''
GROUP BY trial_id HAVING count(*) > 1"""
_GAPS = "SELECT job_id FROM fw_events GROUP BY job_id HAVING max(seq) <> count(*)"


def trials(api: Api, job: str) -> list[Json]:
    """The trials of a job."""
    return list(api.items(f"/v1/jobs/{job}/trials"))


def has_begun(api: Api, job: str, *, ended: int) -> bool:
    """Whether so many trials have ended and another one runs."""
    states = [trial["state"] for trial in trials(api, job)]
    return sum(state in ENDED for state in states) >= ended and "running" in states


def succeeded(api: Api, job: str) -> Json:
    """The job at its end. Raises AssertionError unless that is a success."""

    def look() -> Json:
        document = api.get(f"/v1/jobs/{job}")
        return document if document["state"] in _OVER else None

    found = until(look, seconds=_LONGEST)
    if found["state"] != "succeeded":
        raise AssertionError(f"{job} ended as {found['state']}: {found['stop_detail']}")
    return found


def exact(stack: Stack, api: Api, job: Json) -> str:
    """The budget is spent to the last trial, and nothing was delivered twice or lost."""
    found = trials(api, job["id"])
    counted = [trial for trial in found if trial["phase"] != "test"]
    allowed = job["spec"]["budget"]["trials"]
    ends = f"{job['stop_reason']}: {job['stop_detail']}"
    _same(f"trials of the budget ({ends})", len(counted), allowed)
    _same("numbers of trials", sorted(t["number"] for t in found), list(range(len(found))))
    _same("unended trials", [t["number"] for t in found if t["state"] not in ENDED], [])
    _same("failed trials", [t["error"] for t in found if t["state"] == "failed"], [])
    _same("trials that were delivered twice", stack.query(_TWICE), [])
    _same("jobs whose events have gaps", stack.query(_GAPS), [])
    stack.doctor()
    return f"{allowed} of {allowed} trials, {sum(trial['attempts'] for trial in found)} attempts"


def files(api: Api, job: str, folder: Path, data: Path) -> Iterator[Path]:
    """Every file of the front: fetched, opened, and as accurate as it is said to be."""
    with np.load(data) as arrays:
        images, labels = arrays["x_validation"], arrays["y_validation"]
    points = api.get(f"/v1/jobs/{job}/front")["points"]
    if not points:
        raise AssertionError(f"{job} has no front")
    for point in points:
        content = api.content(point["artifact"])
        _same("the digest of a file", hashlib.sha256(content).hexdigest(), point["sha256"])
        path = folder / f"{point['sha256'][:12]}.onnx"
        path.write_bytes(content)
        said = point["measurement"]["accuracy"]["validation"]
        found = _accuracy(path, images, labels)
        if abs(found - said) > _NEAR:
            raise AssertionError(f"{path}: its accuracy is {found}, said to be {said}")
        yield path


def kept(before: Json, now: Json) -> None:
    """What was told before is told now; what is new beside it does not matter."""
    for path, was, found in lost(before, now, "trials"):
        _same(path, found, was)


def _accuracy(path: Path, images: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    values = images.reshape(-1, 1, 8, 8).astype(np.float32)
    scores = np.asarray(session.run(None, {given.name: values})[0])
    return float((scores.argmax(axis=1) == labels).mean())


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"{what}: {found!r:.300}, expected {expected!r:.300}")
