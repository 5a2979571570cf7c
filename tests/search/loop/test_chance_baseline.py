"""An uploaded model that knows nothing ends its job before anything is searched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec
from featherweight.specs.states import JobState, Phase, StopReason
from search.loop.searcher import Searcher
from store.session import Database
from store.tables.records import JobRecord
from tests import factories
from tests.search import simulated

GUESSING = factories.measurement(0.5)
"""Half of twenty images of two classes, ten of each."""


@pytest.fixture
def searcher(database: Database, study_url: str) -> Iterator[Searcher]:
    with closing(Searcher(database, study_url, simulated.settings())) as opened:
        yield opened


def after_baseline(
    database: Database,
    searcher: Searcher,
    measured: Measurement,
    *,
    is_uploaded: bool = True,
    forget: bool = False,
    **changes: Any,
) -> JobRecord:
    """The job once its baseline was measured; ``forget`` takes the field out of the stored spec."""
    with database.write() as session:
        model = factories.model(session) if is_uploaded else None
        job = factories.job(session, model=model, **changes)
        if forget:
            job.spec = {k: v for k, v in job.spec.items() if k != "allow_chance_baseline"}
        job_id = job.id
    simulated.settle(searcher)
    with database.write() as session:
        factories.deliver(session, factories.must_claim(session), measured=measured)
    simulated.settle(searcher)
    return simulated.job(database, job_id)


def test_the_job_stops_with_what_to_check(database: Database, searcher: Searcher) -> None:
    job = after_baseline(database, searcher, GUESSING)
    assert (job.state, job.stop_reason) == (JobState.FAILED, StopReason.BASELINE_AT_CHANCE)
    assert job.stop_detail.startswith("the model is no better than always answering class 0: 50.00")
    for word in ("normalisation", "numbered", "(N, H, W, C)", "allow_chance_baseline: true"):
        assert word in job.stop_detail
    assert len(simulated.all_rows(database, job.id)) == 1


@pytest.mark.parametrize(
    ("measured", "changes"),
    [
        (factories.measurement(0.9), {}),
        (GUESSING, {"allow_chance_baseline": True}),
        (GUESSING, {"is_uploaded": False}),
        (GUESSING, {"forget": True}),
    ],
    ids=["knows something", "allowed", "trained here", "stored before there was the field"],
)
def test_the_search_begins(
    database: Database, searcher: Searcher, measured: Measurement, changes: dict[str, Any]
) -> None:
    job = after_baseline(database, searcher, measured, **changes)
    assert (job.state, job.phase) == (JobState.RUNNING, Phase.SEARCH)


def test_a_stored_spec_without_the_field_is_read_as_before_and_a_new_one_is_not() -> None:
    document = factories.spec().model_dump(mode="json")
    del document["allow_chance_baseline"]
    assert JobSpec.of_record(document).allow_chance_baseline
    assert not JobSpec.model_validate(document).allow_chance_baseline
