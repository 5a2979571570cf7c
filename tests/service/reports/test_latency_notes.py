"""A report says which latencies were measured on a busy machine, and nothing where none was."""

from __future__ import annotations

from typing import Any

import pytest

from compress.values.latency.latency import Latency
from compress.values.measurement import Measurement
from featherweight.specs.schemas import ReportSchema
from service.reports import latency_notes
from tests import factories
from tests.service.running import Service

CPU = "Some CPU at 2 GHz"


def latency(ms: float, **changes: Any) -> Latency:
    fields = {"median_ms": ms, "p95_ms": ms, "threads": 1, "batch": 1, "device": CPU}
    return Latency.model_validate(fields | {"clock": "cpu"} | changes)


def measured(timed: Latency) -> Measurement:
    return factories.measurement(latency=timed)


def beside(baseline_ms: float, **changes: Any) -> Measurement:
    return measured(latency(1.0, baseline_ms=baseline_ms, reference_ms=17.0, **changes))


BUSY = {"busy": True, "within": 1.42}


def test_doubtful_files_of_the_front_are_counted_with_the_largest_doubt() -> None:
    front = [beside(2.0), beside(2.0, busy=True, within=1.15), beside(2.0, **BUSY)]
    [said] = latency_notes.of_front(front)
    assert said.startswith(
        "latency of 2 of 3 files of the front was measured on a busy machine; right within a "
        "factor of 1.5: "
    )
    assert not list(latency_notes.of_front(front[:1]))


def test_a_doubtful_baseline_is_held_against_what_quiet_machines_said_later() -> None:
    baseline = measured(latency(17.0, **BUSY))
    quiet = [beside(1.5), beside(1.4), beside(1.6)]
    others = [beside(9.0, **BUSY), beside(0.1, device="Another"), beside(0.2, clock=None)]
    [said] = latency_notes.of_baseline(baseline, [*quiet, *others])
    assert said.startswith("the baseline's latency, 17 ms, was measured on a busy machine; ")
    assert "3 later files were timed beside it on a quiet one, where it took 1.5 ms" in said
    assert "write it as a share" in said
    [shorter] = latency_notes.of_baseline(baseline, [*quiet[:2], *others])
    assert "later files" not in shorter


@pytest.mark.parametrize("baseline", [None, measured(latency(17.0)), factories.measurement()])
def test_nothing_is_said_of_a_baseline_that_is_not_in_doubt(baseline: Measurement | None) -> None:
    assert not list(latency_notes.of_baseline(baseline, [beside(1.5)] * 3))


def test_the_report_of_a_job_says_it(service: Service) -> None:
    with service.database.write() as session:
        factories.dataset(session)
        record = factories.job(session, model=factories.model(session), running=True)
        factories.baseline_trial(session, record)
        told = measured(latency(17.0, **BUSY))
        factories.deliver(session, factories.must_claim(session), measured=told)
        job = record.id
    report = ReportSchema.model_validate(service.client.get(f"/v1/jobs/{job}/report").json())
    assert len([note for note in report.notes if "on a busy machine" in note]) == 2
    found = service.client.get(f"/v1/jobs/{job}/front").json()
    assert found["baseline"]["measurement"]["latency"]["busy"] is True
    assert found["baseline"]["measurement"]["latency"]["within"] == 1.42
