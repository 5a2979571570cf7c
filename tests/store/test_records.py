"""Models, datasets, and the shapes in which records are shown."""

import pytest
from pydantic import BaseModel

from store.access import tokens
from store.access.owners import NOBODY
from store.attempts import attempts, views, workers
from store.cluster import leader, liveness
from store.errors import DatasetNotFound, ModelNotFound, NameTaken, StillInUse
from store.files import artifacts, datasets, models, uploads
from store.jobs import baselines, events, jobs, statistics
from store.trials import rungs, trials
from tests import factories

KINDS = [
    (models, factories.model, ModelNotFound),
    (datasets, factories.dataset, DatasetNotFound),
]


@pytest.mark.parametrize(("room", "make", "missing"), KINDS)
def test_a_name_or_an_id_finds_what_was_uploaded(database, room, make, missing):
    with database.write() as session:
        made = make(session, "mine")
        make(session, "other")
        assert room.get(session, "mine").id == room.get(session, made.id).id == made.id
        with pytest.raises(missing, match="nothing"):
            room.get(session, "nothing")


@pytest.mark.parametrize(("room", "make", "missing"), KINDS)
def test_an_id_comes_before_a_name_that_looks_like_it(database, room, make, missing):
    with database.write() as session:
        first = make(session, "mine")
        make(session, first.id)
        assert room.get(session, first.id).name == "mine"


@pytest.mark.parametrize(("room", "make", "missing"), KINDS)
def test_a_name_is_given_once(database, room, make, missing):
    with database.write() as session:
        make(session, "mine")
        with pytest.raises(NameTaken, match="mine"):
            make(session, "mine")


@pytest.mark.parametrize(("room", "make", "missing"), KINDS)
def test_what_no_job_refers_to_can_be_deleted(database, room, make, missing):
    with database.write() as session:
        make(session, "mine")
        room.delete(session, "mine", NOBODY)
        with pytest.raises(missing):
            room.delete(session, "mine", NOBODY)
        assert make(session, "mine").name == "mine"


def test_what_a_job_refers_to_stays(database):
    with database.write() as session:
        model, dataset = factories.model(session), factories.dataset(session)
        job = factories.job(session, model=model, dataset=dataset)
        with pytest.raises(StillInUse, match=job.id):
            models.delete(session, model.id, NOBODY)
        with pytest.raises(StillInUse, match=job.id):
            datasets.delete(session, dataset.name, NOBODY)


def test_a_model_that_only_teaches_a_job_stays(database):
    with database.write() as session:
        teacher = factories.model(session, "large")
        job = factories.job(session, teacher=teacher)
        assert (job.model_id, job.teacher_id) == (None, teacher.id)
        with pytest.raises(StillInUse, match=job.id):
            models.delete(session, "large", NOBODY)


def test_a_job_cannot_be_made_with_a_teacher_that_was_deleted(database):
    with database.write() as session:
        teacher, dataset = factories.model(session, "large"), factories.dataset(session)
        models.delete(session, "large", NOBODY)
        with pytest.raises(ModelNotFound, match=teacher.id):
            factories.job(session, teacher=teacher, dataset=dataset)


def test_a_job_cannot_be_made_from_what_was_deleted(database):
    with database.write() as session:
        model, dataset = factories.model(session), factories.dataset(session)
        models.delete(session, model.id, NOBODY)
        with pytest.raises(ModelNotFound):
            factories.job(session, model=model, dataset=dataset)
        datasets.delete(session, dataset.id, NOBODY)
        with pytest.raises(DatasetNotFound):
            factories.job(session, dataset=dataset)


def test_every_record_has_its_shape(database):
    with database.write() as session:
        job = factories.searching_job(session, constraints=["size_bytes <= 500 B"])
        mine = factories.must_claim(session, "busy")
        factories.deliver(session, mine, measured=factories.measurement(0.8, 600))
        trial = trials.get(session, mine.trial)
        token, secret = tokens.create(session, name="ci", scopes=["read"])
        shapes: dict[str, BaseModel] = {
            "job": views.job(job, jobs.counts(session, [job.id])[job.id]),
            "trial": views.trial(trial),
            "model": views.model(factories.model(session)),
            "dataset": views.dataset(datasets.get(session, "digits")),
            "artifact": views.artifact(artifacts.of_trial(session, trial.id)[0]),
            "attempt": views.attempt(attempts.of_trial(session, trial.id)[0]),
            "rung": views.rung(rungs.of_trial(session, trial.id)[0]),
            "event": views.event(events.after(session, job.id, 0)[0]),
            "worker": views.worker(
                workers.page(session, seconds=60, limit=10, cursor=None)[0][0], "some trial"
            ),
            "token": views.token(token, secret),
            "upload": views.upload(uploads.create(session, size_bytes=5)),
        }
    expected = {
        "job": {"state": "running", "baseline": factories.measurement(), "last_event": 12},
        "trial": {
            "job": job.id,
            "number": 1,
            "state": "complete",
            "feasible": False,
            "attempts": 1,
            "file": trial.file_sha256,
            "description": "prune 0.001/0.001 + w8a8",
            "measurement": factories.measurement(0.8, 600),
        },
        "model": {"name": "network", "info": factories.model_info()},
        "dataset": {"name": "digits", "info": factories.dataset_info()},
        "artifact": {"job": job.id, "trial": trial.id, "role": "onnx", "size_bytes": 600},
        "attempt": {"worker": "busy", "state": "delivered"},
        "rung": {"rung": 0, "file": rungs.of_trial(session, trial.id)[0].file_sha256},
        "event": {"job": job.id, "seq": 1, "type": "job.queued"},
        "worker": {"name": "baseline-worker", "device": "cpu", "trial": "some trial"},
        "token": {"name": "ci", "scopes": ("read",), "secret": secret},
        "upload": {"size_bytes": 5, "received": 0},
    }
    found = {
        name: {field: getattr(shapes[name], field) for field in fields}
        for name, fields in expected.items()
    }
    assert found == expected


def test_a_listed_token_does_not_show_its_secret(database):
    with database.write() as session:
        tokens.create(session, name="ci", scopes=["read"])
        listed, _ = tokens.page(session, limit=5)
        assert views.token(listed[0]).secret is None


def test_a_trial_without_a_measurement_is_neither_feasible_nor_not(database):
    with database.write() as session:
        shown = views.trial(factories.trial(session, factories.job(session)))
    assert (shown.feasible, shown.measurement, shown.file) == (None, None, None)


def newest(session, model, dataset, target="portable"):
    return baselines.newest(session, model=model, dataset=dataset, target=target)


def test_the_newest_baseline_of_the_same_network_data_and_target_is_found(database):
    with database.write() as session:
        dataset = factories.dataset(session)
        assert newest(session, factories.UNTRAINED, dataset) is None
        factories.searching_job(session, waiting=0)
        other = factories.UNTRAINED.model_copy(update={"epochs": 9})
        assert newest(session, factories.UNTRAINED, dataset) == factories.measurement()
        assert newest(session, other, dataset) is None
        assert newest(session, factories.UNTRAINED, dataset, target="plain") is None
        elsewhere = factories.dataset(session, "elsewhere")
        assert newest(session, factories.UNTRAINED, elsewhere) is None


def test_the_baseline_of_an_uploaded_model_is_found_by_the_model(database):
    with database.write() as session:
        model, dataset = factories.model(session), factories.dataset(session)
        job = factories.job(session, model=model, running=True)
        factories.baseline_trial(session, job)
        factories.deliver(session, factories.must_claim(session))
        assert newest(session, model, dataset) == factories.measurement()
        other = factories.model(session, "other")
        assert newest(session, other, dataset) is None


def test_everything_is_counted(database):
    with database.write() as session:
        factories.searching_job(session, waiting=3)
        factories.must_claim(session, lease_seconds=factories.OVER)
        attempts.reap(session)
        factories.must_claim(session)
        factories.trial(session, factories.job(session))
        found = statistics.read(session)
    assert {state: number for state, number in found.jobs.items() if number} == {
        "queued": 1,
        "running": 1,
    }
    assert found.trials == {"waiting": 3, "running": 1, "complete": 1, "stopped": 0, "failed": 0}
    assert found.attempts == {"active": 1, "delivered": 1, "expired": 1, "released": 0}
    assert found.queue_depth == 2


def claimable(session, *, most):
    session.flush()
    return liveness.num_claimable(session.connection(), most=most, per_owner=factories.MANY)


def test_only_trials_that_have_room_can_be_claimed(database):
    with database.write() as session:
        idle = factories.job(session)
        factories.trial(session, idle)
        assert claimable(session, most=9) == 0
        budget = {"trials": 12, "parallel_trials": 3}
        first = factories.searching_job(session, waiting=0, budget=budget)
        second = factories.searching_job(session, waiting=0)
        for _ in range(4):
            factories.trial(session, first)
        assert claimable(session, most=9) == 3
        factories.must_claim(session, "one")
        assert claimable(session, most=9) == 2
        factories.trial(session, second)
        assert claimable(session, most=9) == 3
        assert claimable(session, most=2) == 2
        jobs.pause(session, second.id)
        assert claimable(session, most=9) == 2
        factories.must_claim(session, "two")
        factories.must_claim(session, "three")
        assert first.counts["waiting"] == 1
        assert claimable(session, most=9) == 0


def test_a_searcher_is_alive_while_it_holds_its_role(database):
    with database.write() as session:
        assert not liveness.searcher_is_alive(session)
        leader.take(session, "one", lease_seconds=60)
        assert liveness.searcher_is_alive(session)
        leader.take(session, "one", lease_seconds=-1)
        assert not liveness.searcher_is_alive(session)


def test_a_trial_that_is_older_than_short_scales_is_shown_without_them(database):
    with database.write() as session:
        record = factories.trial(session, factories.job(session))
        assert views.trial(record).candidate.steps[-1].short_scales
        *others, quantization = record.candidate["steps"]
        older = {name: quantization[name] for name in quantization if name != "short_scales"}
        record.candidate = {"steps": [*others, older]}
        assert not views.trial(record).candidate.steps[-1].short_scales
