"""Our own pages: no data in them, nothing inline, nothing from elsewhere."""

import re

import pytest

from service.routes.pages import FILES, FOLDER
from tests.service.running import problem

PAGES = {
    "/ui": "jobs.html",
    "/ui/jobs/abc": "job.html",
    "/login": "login.html",
    "/docs": "docs.html",
}


def directives(answer) -> dict[str, list[str]]:
    parts = answer.headers["Content-Security-Policy"].split("; ")
    return {name: values for name, *values in (part.split() for part in parts)}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_may_load_nothing_from_elsewhere_and_nothing_inline(service, path):
    answer = service.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = directives(answer)
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["connect-src"] == policy["style-src"] == ["'self'"]
    assert policy["frame-ancestors"] == ["'none'"]


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".html")])
def test_every_page_keeps_to_its_policy(service, name):
    text = FILES[name].decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"\son\w+=|\sstyle=|<style|https?://", text)
    for address in re.findall(r'(?:src|href)="(/ui/files/[^"]+)"', text):
        answer = service.client.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["Content-Type"] != "text/html; charset=utf-8"


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".html")])
def test_every_page_is_whole(service, name):
    text = FILES[name].decode()
    assert "<!--" not in text
    for once in ("<title>", '<meta charset="utf-8">', '<link rel="icon"', "style.css", "<main>"):
        assert text.count(once) == 1, once
    assert text.count("<header>") == (name != "login.html")


def test_a_browser_that_asks_for_an_icon_by_itself_gets_one(service):
    answer = service.client.get("/favicon.ico")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/svg+xml")
    assert answer.content.startswith(b"<svg ")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.js")), ids=lambda path: path.name)
def test_no_script_turns_text_into_markup(path):
    text = path.read_text()
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    assert not re.search(forbidden, text)
    for imported in re.findall(r'from "\./([^"]+)"', text):
        assert imported in FILES


def test_only_page_files_can_be_asked_for(service):
    for name in ("../settings.py", "%2e%2e/app.py", "jobs.html", "none.js", "parts/head.html"):
        assert service.client.get(f"/ui/files/{name}").status_code == 404


def test_the_start_leads_to_the_jobs(service):
    answer = service.client.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui")


def test_answers_of_the_api_are_not_kept_and_never_sniffed(service):
    answer = service.client.get("/v1/jobs")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    refused = service.client.get("/v1/jobs/none")
    problem(refused, 404, "JobNotFound")
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
