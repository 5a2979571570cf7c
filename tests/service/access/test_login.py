"""Logging in from a browser: a session instead of the token, and few guesses."""

import threading
from contextlib import contextmanager

import httpx2
import pytest

from service.access import auth
from service.errors import TooManyLogins
from service.shared.logins import Logins
from tests.service.access.test_auth import ORIGIN, bearer, cookie
from tests.service.running import listening, problem, serve, until


@pytest.fixture
def impatient(sqlite_url, tmp_path):
    """A service that lets an address fail three times a minute."""
    with serve(sqlite_url, tmp_path, logins_per_minute=3) as running:
        yield running


def log_in(service, secret, **headers):
    fields = {"token": secret, "next": "/ui"}
    return service.client.post(
        "/login", data=fields, headers=ORIGIN | headers, follow_redirects=False
    )


def test_the_cookie_is_not_the_token_and_is_worth_nothing_as_one(service):
    secret = bearer(service, "read")
    kept = log_in(service, secret).headers["Set-Cookie"]
    assert secret not in kept
    held = kept.partition(";")[0].partition("=")[2]
    service.client.cookies.clear()
    as_token = {"Authorization": f"Bearer {held}"}
    problem(service.client.get("/v1/jobs", headers=as_token), 401, "NotAuthenticated")
    as_cookie = {"Cookie": f"{auth.COOKIE}={secret}"}
    problem(service.client.get("/v1/jobs", headers=as_cookie), 401, "NotAuthenticated")


def test_after_logging_out_a_stolen_cookie_opens_nothing(service):
    stolen, other = cookie(service, "read"), cookie(service, "read")
    assert service.client.get("/v1/jobs", headers=stolen).status_code == 200
    assert service.client.post("/logout", headers=ORIGIN | stolen).status_code == 200
    problem(service.client.get("/v1/jobs", headers=stolen), 401, "NotAuthenticated")
    assert service.client.get("/v1/jobs", headers=other).status_code == 200


def test_logging_in_again_ends_the_session_before(service):
    secret = bearer(service, "read")
    first = cookie(service, "read")
    log_in(service, secret, **first)
    service.client.cookies.clear()
    problem(service.client.get("/v1/jobs", headers=first), 401, "NotAuthenticated")


def test_a_session_ends_with_its_token(service):
    admin = service.token("admin")
    held = cookie(service, "read")
    [token] = [
        token
        for token in service.client.get("/v1/tokens", headers=admin).json()["items"]
        if token["scopes"] == ["read"]
    ]
    service.client.delete(f"/v1/tokens/{token['id']}", headers=admin)
    problem(service.client.get("/v1/jobs", headers=held), 401, "NotAuthenticated")


def test_a_token_is_made_until_a_time_that_is_still_to_come(service):
    admin = service.token("admin")
    body = {"name": "guest", "scopes": ["read"], "expires_at": "2999-01-01T00:00:00Z"}
    made = service.client.post("/v1/tokens", json=body, headers=admin).json()
    assert made["expires_at"].startswith("2999-01-01T00:00:00")
    body["expires_at"] = "2020-01-01T00:00:00Z"
    refused = service.client.post("/v1/tokens", json=body, headers=admin)
    problem(refused, 422, "TokenExpired")


def test_a_cookie_of_another_house_does_not_close_an_open_one(service):
    # Browsers send a cookie to every port of a host.
    strange = {"Cookie": f"{auth.COOKIE}=fws_of_a_service_on_another_port"}
    assert service.client.get("/v1/jobs", headers=strange).status_code == 200
    service.token("read")
    problem(service.client.get("/v1/jobs", headers=strange), 401, "NotAuthenticated")


@pytest.mark.parametrize(("tls_proxy", "is_secure"), [(False, False), (True, True)])
def test_behind_a_tls_proxy_the_cookie_is_for_tls_only(sqlite_url, tmp_path, tls_proxy, is_secure):
    with serve(sqlite_url, tmp_path, tls_proxy=tls_proxy) as service:
        kept = log_in(service, bearer(service, "read")).headers["Set-Cookie"]
        assert ("Secure" in kept) is is_secure
        assert "HttpOnly" in kept


def test_guesses_are_few_and_a_right_token_waits_as_well(impatient):
    secret = bearer(impatient, "read")
    for _ in range(3):
        assert log_in(impatient, "fw_guess").status_code == 303
    refused = log_in(impatient, "fw_guess")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert b'id="wait">Too many logins' in refused.content
    assert "Set-Cookie" not in log_in(impatient, secret).headers
    # What is guessed there closes no other door.
    as_token = {"Authorization": f"Bearer {secret}"}
    assert impatient.client.get("/v1/jobs", headers=as_token).status_code == 200


def test_whoever_has_a_token_logs_in_as_often_as_they_like(impatient):
    secret = bearer(impatient, "read")
    for _ in range(10):
        assert "Set-Cookie" in log_in(impatient, secret).headers


def test_behind_a_proxy_each_sees_only_their_own_failures(sqlite_url, tmp_path):
    with serve(sqlite_url, tmp_path, logins_per_minute=3, tls_proxy=True) as service:
        secret = bearer(service, "read")
        guesser = {"X-Forwarded-For": "10.0.0.9, 198.51.100.7"}
        for _ in range(3):
            log_in(service, "fw_guess", **guesser)
        assert log_in(service, secret, **guesser).status_code == 429
        assert "Set-Cookie" in log_in(service, secret, **{"X-Forwarded-For": "10.0.0.9"}).headers


def test_without_a_proxy_nobody_is_believed_to_be_another(impatient):
    for number in range(3):
        log_in(impatient, "fw_guess", **{"X-Forwarded-For": f"198.51.100.{number}"})
    assert log_in(impatient, "fw_guess", **{"X-Forwarded-For": "198.51.100.9"}).status_code == 429


def test_many_guesses_at_once_are_counted_before_they_are_looked_at():
    logins = Logins(most=3, now=lambda: 100.0)
    for _ in range(3):
        logins.begin("10.0.0.1")
    with pytest.raises(TooManyLogins, match="try again in 60 seconds"):
        logins.begin("10.0.0.1")
    logins.begin("10.0.0.2")
    logins.succeeded("10.0.0.1")
    logins.begin("10.0.0.1")


def test_after_a_minute_one_may_try_again_and_old_addresses_are_forgotten(monkeypatch):
    monkeypatch.setattr("service.shared.logins.MOST_ADDRESSES", 2)
    now = [0.0]
    logins = Logins(most=1, now=lambda: now[0])
    logins.begin("10.0.0.1")
    now[0] = 60.1
    logins.begin("10.0.0.1")
    with pytest.raises(TooManyLogins):
        logins.begin("10.0.0.1")
    logins.begin("10.0.0.2")
    logins.begin("10.0.0.3")
    logins.begin("10.0.0.1")


@contextmanager
def reading(url, headers):
    """A thread that reads a stream; yields the event of its end."""
    ended, began = threading.Event(), threading.Event()

    def read():
        with httpx2.stream("GET", url, headers=headers, timeout=30) as answer:
            assert answer.status_code == 200
            began.set()
            for _ in answer.iter_raw():
                pass
        ended.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert began.wait(10)
    yield ended
    thread.join(timeout=10)


def test_logging_out_ends_the_streams_of_that_browser_alone(service):
    job = service.searching_job()
    mine, other = cookie(service, "read"), cookie(service, "read")
    with listening(service.settings) as url:
        address = f"{url}/v1/jobs/{job}/events"
        with reading(address, other) as others_end, reading(address, mine) as end:
            told = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
            httpx2.post(f"{url}/logout", headers=mine | told, timeout=10)
            until(end.is_set)
            assert not others_end.is_set()
            httpx2.post(f"{url}/logout", headers=other | told, timeout=10)
            until(others_end.is_set)
