"""Tokens: a secret is shown once, opens what its scopes say, and can be revoked."""

from datetime import timedelta

import pytest

from store.access import tokens
from store.database import clock
from store.errors import TokenExpired, TokenNotFound, TokenTaken, WeakSecret
from store.tables.records import TokenRecord


def test_a_secret_finds_its_token(database):
    with database.write() as session:
        assert not tokens.any_exist(session)
        token, secret = tokens.create(session, name="ci", scopes=["submit", "read"])
        assert secret.startswith("fw_")
        assert len(secret) > 40
    with database.read() as session:
        found = tokens.find(session, secret)
        assert found is not None
        assert (found.id, found.name, found.scopes) == (token.id, "ci", ["read", "submit"])
        assert tokens.any_exist(session)


def test_the_secret_is_not_stored(database):
    with database.write() as session:
        token, secret = tokens.create(session, name="ci", scopes=["read"])
    columns = {
        getattr(token, column.key)
        for column in TokenRecord.__table__.columns
        if column.key != "scopes"
    }
    assert secret not in columns
    assert secret not in str(columns)


@pytest.mark.parametrize("secret", ["", "fw_", "fw_guessed", "ci"])
def test_a_wrong_secret_finds_nothing(database, secret):
    with database.write() as session:
        tokens.create(session, name="ci", scopes=["read"])
        assert tokens.find(session, secret) is None


def test_a_revoked_token_opens_nothing_more(database):
    with database.write() as session:
        token, secret = tokens.create(session, name="ci", scopes=["read"])
        revoked_at = tokens.revoke(session, token.id).revoked_at
        assert tokens.find(session, secret) is None
        assert tokens.revoke(session, token.id).revoked_at == revoked_at
        assert tokens.any_exist(session)


def test_an_unknown_token_cannot_be_revoked(database):
    with database.write() as session, pytest.raises(TokenNotFound):
        tokens.revoke(session, "nothing")


def test_a_given_secret_can_be_used_once(database):
    with database.write() as session:
        _, secret = tokens.create(session, name="a", scopes=["work"], secret="given" * 8)
        assert secret == "given" * 8
        with pytest.raises(TokenTaken):
            tokens.create(session, name="b", scopes=["work"], secret="given" * 8)


@pytest.mark.parametrize("scopes", [[], ["everything"], ["read", "root"]])
def test_scopes_are_some_of_the_known_ones(database, scopes):
    with database.write() as session, pytest.raises(ValueError, match="scopes must be some of"):
        tokens.create(session, name="ci", scopes=scopes)


def test_a_token_of_our_own_works_and_does_not_count_as_one_that_a_user_made(database):
    with database.write() as session:
        tokens.renew_own(session, name="up-1-worker", scopes=["work"], secret="fw_first" * 5)
        assert not tokens.any_exist(session)
        found = tokens.find(session, "fw_first" * 5)
        assert found is not None
        assert (found.scopes, found.kind) == (["work"], "own")
        tokens.create(session, name="first", scopes=["admin"])
        assert tokens.any_exist(session)
        assert tokens.find(session, "fw_first" * 5) is not None


def test_own_tokens_are_replaced_by_name_and_do_not_pile_up(database):
    with database.write() as session:
        tokens.create(session, name="up-1-worker", scopes=["read"])
        for start in ("one", "two", "three"):
            tokens.renew_own(session, name="up-1-worker", scopes=["work"], secret=start * 12)
        tokens.renew_own(session, name="up-2-worker", scopes=["work"], secret="other" * 12)
        assert [tokens.find(session, secret * 12) is not None for secret in ("one", "three")] == [
            False,
            True,
        ]
        kinds = sorted((token.name, token.kind) for token in tokens.page(session, limit=9)[0])
    assert kinds == [("up-1-worker", "own"), ("up-1-worker", "user"), ("up-2-worker", "own")]


def test_a_token_that_has_expired_opens_nothing_and_closes_what_was_open(database, monkeypatch):
    ends = clock.utc_now() + timedelta(hours=1)
    with database.write() as session:
        token, secret = tokens.create(session, name="guest", scopes=["read"], expires_at=ends)
        assert tokens.find(session, secret) is not None
        assert tokens.valid(session, [token.id]) == {token.id}
        monkeypatch.setattr(clock, "utc_now", lambda: ends)
        assert tokens.find(session, secret) is None
        assert tokens.valid(session, [token.id]) == frozenset()
        assert tokens.any_exist(session)


def test_a_token_cannot_have_expired_already(database):
    over = clock.utc_now() - timedelta(seconds=1)
    with database.write() as session, pytest.raises(TokenExpired, match="worthless"):
        tokens.create(session, name="guest", scopes=["read"], expires_at=over)


@pytest.mark.parametrize("secret", ["", "a", "x" * 31, "x" * 201, "with a blank " * 3, "ü" * 40])
def test_a_secret_from_outside_that_could_be_guessed_is_refused(database, secret):
    with pytest.raises(WeakSecret, match="VARIABLE"):
        tokens.check_secret(secret, of="VARIABLE")
    with database.write() as session, pytest.raises(WeakSecret):
        tokens.create(session, name="a", scopes=["work"], secret=secret)
