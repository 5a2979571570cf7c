"""Whose something is, who may change it, and whose an idempotency key is."""

import pytest

from store.access import audit, owners
from store.access.owners import NOBODY, Caller
from store.errors import IdempotencyConflict, NotOwner
from store.files import datasets, models, uploads
from store.jobs import jobs
from store.trials import candidates
from tests import factories

ALICE = Caller(name="alice", token_id="1", is_admin=False)
NEW_ALICE = Caller(name="alice", token_id="2", is_admin=False)
BOB = Caller(name="bob", token_id="3", is_admin=False)
ADMIN = Caller(name="root", token_id="4", is_admin=True)
OWN = Caller(name="", token_id="5", is_admin=False)
MAKE = {
    "job": lambda session, owner: factories.job(session, owner=owner),
    "model": lambda session, owner: factories.model(session, owner=owner),
    "dataset": lambda session, owner: factories.dataset(session, owner=owner),
    "upload": lambda session, owner: uploads.create(session, size_bytes=1, owner=owner),
}


def may_change(made, caller):
    try:
        owners.check(made, caller)
    except NotOwner:
        return False
    return True


@pytest.mark.parametrize("word", MAKE)
def test_an_owner_and_admins_may_change_it_and_others_are_told_whose_it_is(database, word):
    with database.write() as session:
        made = MAKE[word](session, "alice")
        for caller in (ALICE, NEW_ALICE, ADMIN, NOBODY):
            assert may_change(made, caller), caller
        for caller in (BOB, OWN):
            with pytest.raises(NotOwner, match=f"{word} {made.id} belongs to 'alice'"):
                owners.check(made, caller)


@pytest.mark.parametrize("word", MAKE)
def test_what_nobody_owns_is_everybodys(database, word):
    with database.write() as session:
        made = MAKE[word](session, "")
        for caller in (ALICE, BOB, ADMIN, NOBODY, OWN):
            assert may_change(made, caller), caller


@pytest.mark.parametrize(("room", "make"), [(models, "model"), (datasets, "dataset")])
def test_only_its_owner_deletes_a_model_or_dataset_by_name_or_id(database, room, make):
    with database.write() as session:
        made = MAKE[make](session, "alice")
        for reference in (made.id, made.name):
            with pytest.raises(NotOwner):
                room.delete(session, reference, BOB)
        assert room.delete(session, made.name, NEW_ALICE).sha256 == made.sha256


def test_listings_of_one_owner(database):
    with database.write() as session:
        mine = [factories.job(session, owner="alice").id for _ in range(3)]
        factories.job(session, owner="bob")
        model = factories.model(session, owner="bob")
        first, cursor = jobs.page(session, limit=2, owner="alice")
        rest, end = jobs.page(session, limit=2, owner="alice", cursor=cursor)
        assert [job.id for job in (*first, *rest)] == mine[::-1]
        assert end is None
        assert models.page(session, limit=2, owner="bob")[0] == [model]
        assert models.page(session, limit=2, owner="alice")[0] == []


def test_a_key_makes_one_job_for_each_owner(database):
    with database.write() as session:
        alice = factories.job(session, owner="alice", key="k")
        bob = factories.job(session, owner="bob", key="k")
        assert bob.id != alice.id
        assert factories.job(session, owner="alice", key="k").id == alice.id
        # Another body is a conflict of the owner alone.
        carol = factories.job(session, owner="carol", key="k", name="other")
        assert carol.id not in (alice.id, bob.id)
        with pytest.raises(IdempotencyConflict, match="'k'"):
            factories.job(session, owner="alice", key="k", name="other")


def test_a_key_from_before_there_were_owners_still_makes_no_second_job(database):
    with database.write() as session:
        older = factories.job(session, key="k")
        assert factories.job(session, owner="alice", key="k").id == older.id
        # A key that meant something else then is free.
        new = factories.job(session, owner="alice", key="k", name="other")
        assert new.id != older.id
        assert factories.job(session, owner="alice", key="k", name="other").id == new.id
        assert factories.job(session, owner="alice", key="k").id == older.id


def test_a_key_of_proposed_candidates_belongs_to_its_owner_too(database):
    with database.write() as session:
        job = factories.job(session)
        first = {"key": "k", "body_sha256": "a" * 64}
        other = {"key": "k", "body_sha256": "b" * 64}
        assert candidates.begin_post(session, job, owner="alice", **first)
        assert candidates.begin_post(session, job, owner="bob", **other)
        assert not candidates.begin_post(session, job, owner="alice", **first)
        with pytest.raises(IdempotencyConflict):
            candidates.begin_post(session, job, owner="alice", **other)


def test_candidates_proposed_before_there_were_owners_are_known_by_their_key(database):
    with database.write() as session:
        job = factories.job(session)
        first = {"key": "k", "body_sha256": "a" * 64}
        assert candidates.begin_post(session, job, **first)
        assert not candidates.begin_post(session, job, owner="alice", **first)
        assert candidates.begin_post(session, job, owner="alice", key="k", body_sha256="b" * 64)


def test_the_log_is_read_newest_first_page_by_page_and_by_what_is_asked(database):
    with database.write() as session:
        job, model = factories.job(session, owner="alice"), factories.model(session)
        audit.note(session, "alice", "created", job)
        audit.note(session, "bob", "created", model)
        audit.note(session, "root", "candidates_proposed", job, candidates=2)
    with database.read() as session:
        first, cursor = audit.page(session, limit=2)
        rest, end = audit.page(session, limit=2, cursor=cursor)
        assert [row.actor for row in (*first, *rest)] == ["root", "bob", "alice"]
        assert end is None
        assert (first[0].kind, first[0].subject, first[0].name) == ("job", job.id, "job")
        assert first[0].detail == {"candidates": 2}
        assert [row.actor for row in audit.page(session, limit=9, kind="model")[0]] == ["bob"]
        assert [row.kind for row in audit.page(session, limit=9, actor="root")[0]] == ["job"]
        assert len(audit.page(session, limit=9, subject=job.id)[0]) == 2
        assert audit.page(session, limit=9, subject=job.id, actor="bob")[0] == []


def test_what_is_rolled_back_is_not_in_the_log(database):
    def refused():
        with database.write() as session:
            job = factories.job(session, owner="alice")
            audit.note(session, "alice", "created", job)
            owners.check(job, BOB)

    with pytest.raises(NotOwner):
        refused()
    with database.read() as session:
        assert audit.page(session, limit=9) == ([], None)
