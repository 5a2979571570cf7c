"""Query parameters: what a route does not name is refused, on every route there is."""

import pytest

from featherweight.client.client import Client
from service.http import queries
from service.http.routing import PassedOn
from tests.service.addresses import address, named, routes
from tests.service.running import listening, problem, spec

OWN = [route for route in routes() if not isinstance(route, PassedOn)]


def refused(answer, name):
    found = problem(answer, 422, "RequestValidationError")
    assert [error["loc"] for error in found["errors"]] == [["query", name]]
    return found["detail"]


@pytest.mark.parametrize("route", OWN, ids=named)
def test_every_route_refuses_a_parameter_that_it_does_not_name(house, route):
    method = sorted(route.methods)[0]
    answer = house.client.request(method, f"{address(route)}?dryrun=true", json={})
    if method == "HEAD":
        assert answer.status_code == 422
    else:
        assert "no such parameter" in refused(answer, "dryrun")


def test_a_misspelt_dry_run_starts_no_job_and_names_the_right_one(service):
    service.dataset()
    for name in ("dryrun", "dry-run", "Dry_Run", "dry_run "):
        answer = service.client.post("/v1/jobs", params={name: "true"}, json=spec())
        assert "'dry_run'" in refused(answer, name)
    assert service.client.get("/v1/jobs").json()["items"] == []


def test_a_parameter_given_twice_is_refused(service):
    service.dataset()
    answer = service.client.post("/v1/jobs?dry_run=true&dry_run=false", json=spec())
    assert "give it once" in refused(answer, "dry_run")
    assert service.client.get("/v1/jobs?limit=5&limit=5").status_code == 422
    assert service.client.get("/v1/jobs").json()["items"] == []


@pytest.mark.parametrize(
    "query", ["limit=%ff", "%ff=1", "state=%ED%A0%80", "=", "&".join("a" * 200)]
)
def test_what_is_no_text_or_no_end_of_parameters_is_refused(service, query):
    found = problem(service.client.get(f"/v1/jobs?{query}"), 422, "RequestValidationError")
    assert len(found["detail"]) < 500


def test_who_may_not_ask_learns_of_no_parameter(service):
    service.token("admin")
    problem(service.client.get("/v1/jobs?nothing=1"), 401, "NotAuthenticated")


def test_a_list_may_be_given_more_than_once():
    found = queries.Parameters(names=("state",), repeated=frozenset({"state"}))
    request = type("Request", (), {"scope": {"query_string": b"state=a&state=b"}})()
    assert found.check(request) is None
    for kind in (list[str], tuple[str, ...], list[str] | None, set[int]):
        assert queries._is_sequence(kind)
    for kind in (str, str | None, int, dict[str, str]):
        assert not queries._is_sequence(kind)


def test_our_client_sends_nothing_unknown(service):
    job = service.searching_job(waiting=1)
    with listening(service.settings) as url, Client(url) as client:
        listings = (
            client.jobs(state="running"),
            client.trials(job, state="waiting"),
            client.candidates(job),
            client.models(),
            client.datasets(),
            client.workers(),
            client.tokens(),
        )
        assert [len(list(listing)) for listing in listings] == [1, 1, 0, 0, 1, 1, 0]
        assert client.is_ready() in (True, False)
        assert client.dry_run(spec()).valid


def test_pages_take_what_they_lead_to(service):
    page = {"Accept": "text/html"}
    service.token("admin")
    led = service.client.get("/ui?a=1", headers=page, follow_redirects=True)
    assert (led.status_code, led.url.path) == (200, "/login")
    assert service.client.get("/login?next=/ui&failed=1").status_code == 200
