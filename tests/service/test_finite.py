"""Finite in, finite out: whatever a worker reports, every answer is JSON of finite numbers."""

import json
import math

import pytest

from compress.values import bounds
from compress.values.bounds import RECEIVED
from compress.values.measurement import Measurement
from featherweight.specs.protocol import FENCE_HEADER
from store.tables.records import TrialRecord
from tests import factories
from tests.service.addresses import routes
from tests.service.delivering import delivered
from tests.service.running import claim, problem, serve, sha256

BEYOND = (1e308, 1e-308, 5e-324, -1.0, 1.7976931348623157e308)
PLACES = {
    "median": ("latency", "median_ms"),
    "quantile": ("latency", "p95_ms"),
    "wall": ("latency", "wall_ms"),
    "within": ("latency", "within"),
    "load": ("load_ms",),
    "error": ("parity", "max_abs_error"),
    "speed": ("train_images_per_second",),
    "seconds": ("seconds", "training"),
}


def refuse(name):
    raise AssertionError(f"{name} is not JSON")


def strict(answer):
    return json.loads(answer.content, parse_constant=refuse)


def extreme(least):
    """A measurement at the ends of every range, and its baseline's latency at the other ends."""
    low, high = (bounds.LEAST, bounds.MOST_MILLISECONDS)[:: 1 if least else -1]
    changes = {
        "latency": {
            "median_ms": high, "p95_ms": high, "wall_ms": high, "baseline_ms": low,
            "reference_ms": high, "threads": 1, "batch": 1, "busy": True,
            "within": bounds.MOST_FACTOR,
        },
        "seconds": {"training": bounds.MOST_SECONDS, "export": bounds.MOST_SECONDS},
        "train_images_per_second": bounds.LEAST if least else bounds.MOST_SPEED,
        "load_ms": high,
    }  # fmt: skip
    document = factories.measurement().model_dump(mode="json") | changes
    document["parity"]["max_abs_error"] = bounds.MOST_ERROR
    return document


def report(service, assignment, measurement, files=()):
    ref = {"role": "onnx", "sha256": "0" * 64, "size_bytes": measurement["size_bytes"]}
    return service.client.post(
        f"/v1/attempts/{assignment['attempt']}/reports",
        json={"rung": 0, "epochs": 0, "measurement": measurement, "files": [*files] or [ref]},
        headers={FENCE_HEADER: assignment["token"]},
    )


@pytest.fixture(scope="module")
def claimed(sqlite_template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finite")
    (folder / "featherweight.db").write_bytes(sqlite_template.read_bytes())
    with serve(f"sqlite:///{folder}/featherweight.db", folder) as service:
        service.searching_job(waiting=1)
        yield service, claim(service).json()


FROM_ZERO = ("error", "seconds")
"""What may be as small as can be."""
CASES = [
    (name, value)
    for name in PLACES
    for value in BEYOND
    if not (name in FROM_ZERO and 0 < value < 1)
]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_number_that_nothing_measured_is_refused(claimed, name, value):
    service, assignment = claimed
    measurement = factories.measurement().model_dump(mode="json")
    *path, last = PLACES[name]
    part = measurement
    for step in path:
        part = part[step]
    part[last] = value
    found = problem(report(service, assignment, measurement), 422, "RequestValidationError")
    places = [error["loc"] for error in found["errors"]]
    assert places == [["body", "measurement", *PLACES[name]]]


@pytest.mark.parametrize("least", [True, False])
def test_reports_at_the_ends_of_all_ranges_leave_finite_answers_everywhere(either_service, least):
    service = either_service
    job = service.searching_job(
        waiting=2, constraints=("latency_ms <= baseline / 1000000", "size_bytes <= 1e-9 B")
    )
    assignment = claim(service).json()
    content, digest = b"onnx" * 100, sha256(b"onnx" * 100)
    sent = service.client.put(
        f"/v1/attempts/{assignment['attempt']}/files/{digest}",
        content=content,
        headers={FENCE_HEADER: assignment["token"]},
    )
    assert sent.status_code == 201
    measurement = extreme(least) | {"size_bytes": len(content)}
    ref = {"role": "onnx", "sha256": digest, "size_bytes": len(content)}
    answer = report(service, assignment, measurement, [ref])
    assert answer.status_code == 200, answer.text
    values = {"job_id": job, "trial_id": assignment["trial"]}
    looked = 0
    for route in routes("GET"):
        names = set(route.param_convertors)
        if not route.include_in_schema or not names <= set(values) or "events" in route.path:
            continue
        answer = service.client.get(route.path.format(**values))
        assert answer.status_code < 500 or route.path == "/readyz", (route.path, answer.text)
        if answer.headers["content-type"].endswith("json"):
            strict(answer)
            looked += 1
    assert looked > 12


def test_what_an_older_version_stored_is_read_at_the_end_of_its_range(service):
    files = delivered(service)
    trial = files["onnx"]["trial"]
    with service.database.write() as session:
        record = session.get_one(TrialRecord, trial)
        stored = json.loads(json.dumps(record.measurement))
        stored["latency"] |= {"median_ms": 1e308, "p95_ms": 1e-300}
        stored["seconds"] = {"training": 1e308}
        record.measurement = stored
    found = strict(service.client.get(f"/v1/trials/{trial}"))["measurement"]
    assert found["latency"]["median_ms"] == bounds.MOST_MILLISECONDS
    assert found["latency"]["p95_ms"] == bounds.LEAST
    assert found["seconds"] == {"training": bounds.MOST_SECONDS}
    assert strict(service.client.get(f"/v1/jobs/{files['onnx']['job']}/front"))


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("context", [None, RECEIVED])
def test_what_is_not_finite_is_no_measurement_for_anybody(number, context):
    document = factories.measurement().model_dump(mode="json")
    document["latency"]["median_ms"] = number
    with pytest.raises(ValueError, match="median_ms"):
        Measurement.model_validate(document, context=context)
