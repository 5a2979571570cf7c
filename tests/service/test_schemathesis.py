"""The OpenAPI document is held against the running service by a program that does not know it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import positive_data_acceptance

from service.app import create_app
from tests.service.running import listening, serve

schema = schemathesis.openapi.from_dict(create_app().openapi())


@pytest.fixture(scope="module")
def running(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Where to send requests, and with which token."""
    folder = tmp_path_factory.mktemp("schemathesis")
    (folder / "featherweight.db").write_bytes(sqlite_template.read_bytes())
    with serve(f"sqlite:///{folder}/featherweight.db", folder) as service:
        service.searching_job(waiting=3)
        headers = service.token("admin")
        with listening(service.settings) as url:
            yield {"base_url": url, "headers": headers}


UNSAID = {
    "POST /v1/models": "the bytes must be weights of the family",
    "POST /v1/datasets": "the bytes must be an npz archive of images",
    "POST /v1/jobs": "data must exist, objectives and trials must go together",
    "POST /v1/jobs/{job_id}/candidates": "candidates must fit the space and the network of the job",
    "POST /v1/jobs/{job_id}/clone": "the changes must make a valid job",
    "POST /v1/attempts/{attempt_id}/reports": "mean and deviation must have the same length",
}
"""Where a body can fit its schema and still be wrong, and why no schema could say so."""


@schema.parametrize()
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_promises(
    case: schemathesis.Case, running: dict[str, Any]
) -> None:
    shorten_wait(case)
    excluded = [positive_data_acceptance] if case.operation.label in UNSAID else []
    case.call_and_validate(**running, excluded_checks=excluded)


def shorten_wait(case: schemathesis.Case) -> None:
    """A valid wait for work would be waited for."""
    if case.path == "/v1/attempts" and isinstance(case.body, dict):
        wait = case.body.get("wait_seconds", 20)
        if isinstance(wait, int | float) and 0 < wait <= 60:
            case.body["wait_seconds"] = 0
