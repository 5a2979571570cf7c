"""Sessions of browsers: they end by themselves, with their token, and when somebody logs out."""

from datetime import timedelta

import pytest

from store.access import secrets, sessions, tokens
from store.database import clock
from store.tables.records import SessionRecord


@pytest.fixture
def token(database):
    with database.write() as session:
        return tokens.create(session, name="me", scopes=["submit"])[0]


def test_a_session_stands_for_its_token_and_its_secret_is_stored_nowhere(database, token):
    with database.write() as session:
        secret = sessions.begin(session, token, days=1)
    with database.read() as session:
        found = sessions.find(session, secret)
        assert found is not None
        assert found.id == token.id
        [record] = session.query(SessionRecord).all()
        assert record.secret_sha256 == secrets.digest(secret) != secret
        assert sessions.valid(session, [record.secret_sha256, "0" * 64]) == {record.secret_sha256}
        assert tokens.find(session, secret) is None


def test_it_is_over_when_somebody_logs_out_and_others_are_not(database, token):
    with database.write() as session:
        mine, other = (sessions.begin(session, token, days=1) for _ in range(2))
        sessions.end(session, mine)
        sessions.end(session, mine)
        assert sessions.find(session, mine) is None
        assert sessions.valid(session, [secrets.digest(mine)]) == frozenset()
        assert sessions.find(session, other) is not None


def test_it_is_over_after_its_days(database, token, monkeypatch):
    began = clock.utc_now()
    with database.write() as session:
        secret = sessions.begin(session, token, days=2)
        monkeypatch.setattr(clock, "utc_now", lambda: began + timedelta(days=1.99))
        assert sessions.find(session, secret) is not None
        monkeypatch.setattr(clock, "utc_now", lambda: began + timedelta(days=2.01))
        assert sessions.find(session, secret) is None


def test_it_is_over_with_its_token(database, token, monkeypatch):
    with database.write() as session:
        secret = sessions.begin(session, token, days=9)
        tokens.revoke(session, token.id)
        assert sessions.find(session, secret) is None
        ends = clock.utc_now() + timedelta(hours=1)
        guest, _ = tokens.create(session, name="guest", scopes=["read"], expires_at=ends)
        secret = sessions.begin(session, guest, days=9)
        assert sessions.find(session, secret) is not None
        monkeypatch.setattr(clock, "utc_now", lambda: ends)
        assert sessions.find(session, secret) is None


def test_a_token_has_so_many_sessions_and_no_more(database, token, monkeypatch):
    monkeypatch.setattr(sessions, "MOST_PER_TOKEN", 3)
    with database.write() as session:
        made = []
        for _ in range(5):
            made.append(sessions.begin(session, token, days=1))
            session.flush()
        stand = [sessions.find(session, secret) is not None for secret in made]
        assert stand == [False, False, True, True, True]
