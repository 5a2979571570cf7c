"""Every error is a problem, whoever finds it: our routes, the framework, or nobody."""

import pytest

from tests.service.addresses import address, named, routes
from tests.service.running import problem

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "MADE-UP")


def methods_of(path):
    return sorted({method for route in routes() if route.path == path for method in route.methods})


@pytest.mark.parametrize("route", routes("GET", "POST", "PUT", "PATCH", "DELETE"), ids=named)
def test_a_method_that_an_address_has_not_is_405_and_says_which_it_has(house, route):
    allowed = methods_of(route.path)
    for method in (method for method in METHODS if method not in allowed):
        answer = house.client.request(method, address(route))
        assert answer.headers["Allow"] == ", ".join(allowed)
        if method != "HEAD":
            problem(answer, 405, "MethodNotAllowed")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "path", ["/v2", "/v1", "/v1/jobs/", "/v1//jobs", "/v1/jobs/a/b/c", "/%00", "/.git"]
)
def test_an_address_of_nothing_is_404(house, method, path):
    answer = house.client.request(method, path)
    assert answer.status_code == 404
    if method != "HEAD":
        problem(answer, 404, "NotFound")


@pytest.mark.parametrize("name", ["none", "job.html", "%00", "%ff", "..%2fapp.py"])
def test_a_file_of_the_pages_that_is_none_is_a_problem(house, name):
    problem(house.client.get(f"/ui/files/{name}"), 404, "NotFound")
