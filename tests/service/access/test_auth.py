"""Who may do what."""

import pytest

from service.access import auth
from service.access.addresses import safe_next
from tests.service.running import BROWSER, LOOPBACK, problem, serve, spec

ORIGIN = {"Origin": LOOPBACK, "Sec-Fetch-Site": "same-origin"}
ENDPOINTS = {
    "read": ("GET", "/v1/jobs"),
    "submit": ("POST", "/v1/jobs"),
    "work": ("POST", "/v1/attempts"),
    "admin": ("GET", "/v1/tokens"),
}
ALLOWED = {
    "read": {"read"},
    "submit": {"read", "submit"},
    "work": {"work"},
    "admin": {"read", "submit", "work", "admin"},
}


def bearer(service, *scopes):
    """The secret of a new token."""
    return service.token(*scopes)["Authorization"].removeprefix("Bearer ")


def cookie(service, *scopes):
    """The header a browser sends after logging in."""
    fields = {"token": bearer(service, *scopes)}
    answer = service.client.post("/login", data=fields, headers=ORIGIN, follow_redirects=False)
    service.client.cookies.clear()
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}


@pytest.mark.parametrize("scope", ALLOWED)
def test_a_token_allows_what_its_scope_implies_and_nothing_else(service, scope):
    headers = service.token(scope)
    for needed, (method, path) in ENDPOINTS.items():
        answer = service.client.request(method, path, headers=headers, json={})
        if needed in ALLOWED[scope]:
            assert answer.status_code in (200, 422), (needed, answer.text)
        else:
            assert needed in problem(answer, 403, "ScopeMissing")["detail"]


def test_without_a_token_nothing_but_health_is_answered_once_tokens_exist(either_service):
    service = either_service
    service.token("read")
    for method, path in ENDPOINTS.values():
        answer = service.client.request(method, path, json={})
        problem(answer, 401, "NotAuthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    problem(service.client.get("/metrics"), 401, "NotAuthenticated")
    assert service.client.get("/healthz").status_code == 200
    assert service.client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "Bearer fw_wrong",
        "Bearer",
        "Bearer  ",
        "Basic abc",
        "fw_wrong",
        "Bearer " + "x" * 5000,
        "Bearer \xff",
        "Bearer fws_" + "x" * 43,
    ],
)
def test_a_wrong_token_is_refused(service, header):
    service.token("admin")
    headers = {"Authorization": header.encode("latin-1")}
    problem(service.client.get("/v1/jobs", headers=headers), 401, "NotAuthenticated")


def test_a_wrong_token_is_refused_even_while_no_token_exists(service):
    headers = {"Authorization": "Bearer fw_wrong"}
    problem(service.client.get("/v1/jobs", headers=headers), 401, "NotAuthenticated")


def test_a_revoked_token_is_worthless_and_does_not_open_the_service_again(service):
    headers = service.token("admin")
    token = service.client.get("/v1/tokens", headers=headers).json()["items"][0]
    assert service.client.delete(f"/v1/tokens/{token['id']}", headers=headers).status_code == 204
    problem(service.client.get("/v1/jobs", headers=headers), 401, "NotAuthenticated")
    problem(service.client.get("/v1/jobs"), 401, "NotAuthenticated")


def test_a_token_is_shown_once_and_listed_without_its_secret(service):
    headers = service.token("admin")
    body = {"name": "laptop", "scopes": ["submit"]}
    made = service.client.post("/v1/tokens", json=body, headers=headers).json()
    assert made["secret"].startswith("fw_")
    listed = service.client.get("/v1/tokens", headers=headers)
    assert made["secret"] not in listed.text
    own = {"Authorization": f"Bearer {made['secret']}"}
    assert service.client.get("/v1/jobs", headers=own).status_code == 200
    unknown = {"name": "laptop", "scopes": ["everything"]}
    answer = service.client.post("/v1/tokens", json=unknown, headers=headers)
    problem(answer, 422, "RequestValidationError")


def test_scopes_are_looked_at_before_the_body_is_read(service):
    headers = service.token("read") | {"Content-Type": "application/json"}
    answer = service.client.post("/v1/jobs", content="{not json", headers=headers)
    problem(answer, 403, "ScopeMissing")


def test_without_tokens_only_loopback_names_are_answered(service):
    for host in ("localhost:8000", "127.0.0.1", "127.8.8.8:80", "[::1]:8000"):
        assert service.client.get("/v1/jobs", headers={"Host": host}).status_code == 200, host
    for host in (
        "evil.example",
        "10.0.0.7:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
    ):
        problem(service.client.get("/v1/jobs", headers={"Host": host}), 403, "HostNotAllowed")


def test_without_tokens_an_address_that_others_can_reach_stays_closed(database_url, tmp_path):
    with serve(database_url, tmp_path, host="0.0.0.0") as service:
        problem(service.client.get("/v1/jobs"), 401, "NotAuthenticated")
        assert service.client.get("/v1/jobs", headers=service.token("read")).status_code == 200


def test_without_tokens_a_foreign_page_cannot_change_anything(service):
    service.dataset()
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        answer = service.client.post("/v1/jobs", json=spec(), headers=headers)
        problem(answer, 403, "CrossOrigin")
    assert service.client.post("/v1/jobs", json=spec(), headers=ORIGIN).status_code == 201


def test_a_cookie_reads_and_changes_only_from_our_own_pages(service):
    service.dataset()
    headers = cookie(service, "submit")
    assert service.client.get("/v1/jobs", headers=headers).status_code == 200
    for told in ({}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = service.client.post("/v1/jobs", json=spec(), headers=headers | told)
        problem(answer, 403, "CrossOrigin")
    answer = service.client.post("/v1/jobs", json=spec(), headers=headers | ORIGIN)
    assert answer.status_code == 201


def test_a_browser_is_led_to_the_login_and_on_to_where_it_wanted(service):
    secret = bearer(service, "read")
    led = service.client.get("/ui/jobs/a-b?x=1", headers=BROWSER, follow_redirects=False)
    assert led.status_code == 303
    assert led.headers["Location"] == "/login?next=%2Fui%2Fjobs%2Fa-b%3Fx%3D1"
    fields = {"token": secret, "next": "/ui/jobs/a-b?x=1"}
    done = service.client.post("/login", data=fields, headers=ORIGIN, follow_redirects=False)
    assert (done.status_code, done.headers["Location"]) == (303, "/ui/jobs/a-b?x=1")
    kept = done.headers["Set-Cookie"]
    assert "HttpOnly" in kept
    assert "SameSite=strict" in kept
    assert service.client.get("/ui", headers=BROWSER, follow_redirects=False).status_code == 200


def test_a_wrong_token_does_not_log_in(service):
    service.token("read")
    fields = {"token": "fw_wrong", "next": "/ui"}
    answer = service.client.post("/login", data=fields, headers=ORIGIN, follow_redirects=False)
    assert answer.headers["Location"] == "/login?next=%2Fui&failed=1"
    assert "Set-Cookie" not in answer.headers


def test_a_foreign_page_cannot_log_anybody_in_or_out(service):
    headers = {"Origin": "http://evil.example"}
    fields = {"token": bearer(service, "read")}
    for path in ("/login", "/logout"):
        problem(service.client.post(path, data=fields, headers=headers), 403, "CrossOrigin")


def test_logging_out_forgets_the_cookie(service):
    answer = service.client.post("/logout", headers=ORIGIN, follow_redirects=False)
    assert answer.status_code == 303
    assert f'{auth.COOKIE}="";' in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "elsewhere",
    [
        None,
        "",
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "ui",
        "/ui\r\nSet-Cookie: x",
    ],
)
def test_the_login_leads_nowhere_else(elsewhere):
    assert safe_next(elsewhere) == "/ui"


def test_a_program_is_not_led_to_the_login(service):
    service.token("read")
    answer = service.client.get("/ui", headers={"Accept": "application/json"})
    problem(answer, 401, "NotAuthenticated")
