"""Tokens: a secret is shown once, opens what its scopes say, and can be revoked."""

import pytest

from store import tokens
from store.errors import TokenNotFound, TokenTaken
from store.tables import TokenRecord


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
        _, secret = tokens.create(session, name="a", scopes=["work"], secret="given")
        assert secret == "given"
        with pytest.raises(TokenTaken):
            tokens.create(session, name="b", scopes=["work"], secret="given")


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
            tokens.renew_own(session, name="up-1-worker", scopes=["work"], secret=start * 10)
        tokens.renew_own(session, name="up-2-worker", scopes=["work"], secret="other" * 10)
        assert [tokens.find(session, secret * 10) is not None for secret in ("one", "three")] == [
            False,
            True,
        ]
        kinds = sorted((token.name, token.kind) for token in tokens.page(session, limit=9)[0])
    assert kinds == [("up-1-worker", "own"), ("up-1-worker", "user"), ("up-2-worker", "own")]
