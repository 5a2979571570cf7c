"""Inspections of uploaded models: one at a time, and only the newest one's outcome counts."""

from __future__ import annotations

import pytest

from compress.network.preprocessing import Normalisation
from compress.network.sources.source import OnnxSource
from featherweight.specs.states import ModelState
from store.access.owners import NOBODY
from store.errors import ModelNotFound
from store.files import inspections, models
from store.files.inspections import MOST_INSPECTIONS
from tests import factories

FOUND = {"info": {"a": 1}, "outline": {"b": 2}, "normalisation": {"mean": [0], "std": [1]}}


def uploaded(session, name="network", **fields):
    stored = factories.stored(session, f"onnx {name}")
    given = {"normalisation": None, "info": None, "source": OnnxSource(sha256=stored.sha256)}
    return models.create(session, name=name, stored=stored, **(given | fields))


@pytest.fixture
def model(database):
    with database.write() as session:
        return uploaded(session).id


def begun(database):
    with database.write() as session:
        return inspections.begin(session)


def now(database, model):
    with database.read() as session:
        found = models.get(session, model)
        return found.state, found.reasons, found.info, found.outline


def over(database, model):
    """Let the lease of the running inspection be over."""
    with database.write() as session:
        models.get(session, model).inspection_until = 1.0


def test_weights_are_ready_and_files_are_inspected_oldest_first(database):
    with database.write() as session:
        factories.model(session, "weights")
        first = uploaded(session, "first")
        uploaded(session, "second")
        assert first.state == ModelState.INSPECTING
        assert models.named(session, "weights").state == ModelState.READY
    with database.look() as connection:
        assert inspections.is_waited_for(connection)
    assert [begun(database).name, begun(database).name, begun(database)] == [
        "first",
        "second",
        None,
    ]
    with database.look() as connection:
        assert not inspections.is_waited_for(connection)


def test_a_verdict_makes_the_model_ready_with_what_was_found(database, model):
    inspection = begun(database)
    with database.write() as session:
        assert inspections.finish(session, inspection, **FOUND)
    assert now(database, model) == (ModelState.READY, None, {"a": 1}, {"b": 2})
    with database.read() as session:
        found = models.get(session, model)
        assert models.normalisation_of(found) == Normalisation(mean=(0,), std=(1,))


def test_a_verdict_may_refuse_the_model(database, model):
    inspection = begun(database)
    with database.write() as session:
        assert inspections.refuse(session, inspection, ["too old", "too odd"])
    assert now(database, model) == (ModelState.REFUSED, ["too old", "too odd"], {}, None)
    assert begun(database) is None


def test_a_refused_model_can_be_inspected_again(database, model):
    inspection = begun(database)
    with database.write() as session:
        inspections.refuse(session, inspection, ["too odd"])
        inspections.again(session, models.get(session, model))
    assert now(database, model)[:2] == (ModelState.INSPECTING, None)
    assert begun(database).number == 1


def test_what_a_dead_process_began_is_begun_anew_and_its_late_verdict_does_not_count(
    database, model
):
    first = begun(database)
    assert begun(database) is None
    over(database, model)
    second = begun(database)
    assert second.number == first.number + 1
    with database.write() as session:
        assert not inspections.renew(session, first)
        assert not inspections.refuse(session, first, ["late"])
        assert inspections.renew(session, second)
        assert inspections.finish(session, second, **FOUND)
    assert now(database, model)[0] == ModelState.READY


def test_a_lease_of_a_clock_that_was_set_back_is_not_waited_for(database, model):
    begun(database)
    with database.write() as session:
        models.get(session, model).inspection_until = 1e12
    assert begun(database).number == 2


def test_a_file_that_cuts_off_every_inspection_is_refused(database, model):
    for _ in range(MOST_INSPECTIONS):
        assert begun(database) is not None
        over(database, model)
    assert begun(database) is None
    state, reasons, *_ = now(database, model)
    assert state == ModelState.REFUSED
    assert reasons[0].startswith("its inspection was cut off 3 times")


def test_an_inspection_that_is_given_back_is_not_counted(database, model):
    for _ in range(MOST_INSPECTIONS + 1):
        inspection = begun(database)
        with database.write() as session:
            inspections.release(session, inspection)
    assert begun(database).number == 1
    assert now(database, model)[0] == ModelState.INSPECTING


def test_a_model_that_is_deleted_meanwhile_stays_deleted(database, model):
    inspection = begun(database)
    with database.write() as session:
        models.delete(session, model, NOBODY)
    with database.write() as session:
        assert not inspections.renew(session, inspection)
        assert not inspections.finish(session, inspection, **FOUND)
    with database.read() as session, pytest.raises(ModelNotFound):
        models.get(session, model)
