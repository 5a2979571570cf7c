"""Somebody is frozen inside a transaction: requests of everybody else are answered all the same."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx2
import psycopg
import pytest
from sqlalchemy import make_url

from store.session import open_database
from tests import factories
from tests.running import running

CLAIMS = 24
"""More than one process keeps connections or worker threads for them."""


@pytest.mark.proof
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_held_row_stops_no_request(database_url: str, tmp_path: Path) -> None:
    database = open_database(database_url)
    with database.write() as session:
        job = factories.searching_job(session).id
    database.dispose()
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    answers: list[int] = []
    with running(tmp_path) as house, psycopg.connect(url) as frozen:
        house.database_url = database_url
        house.serve()
        frozen.execute("UPDATE fw_jobs SET name = name WHERE id = %s", [job])
        asks = [
            threading.Thread(target=claim, args=(house.url, number, answers))
            for number in range(CLAIMS)
        ]
        for ask in asks:
            ask.start()
        listed = httpx2.get(f"{house.url}/v1/jobs?limit=1", timeout=20)
        for ask in asks:
            ask.join()
        held = httpx2.post(f"{house.url}/v1/jobs/{job}/pause", timeout=20)
        frozen.rollback()
        freed = httpx2.post(f"{house.url}/v1/jobs/{job}/pause", timeout=20)
    assert listed.status_code == 200
    assert answers == [204] * CLAIMS
    assert (held.status_code, held.headers["Retry-After"]) == (503, "2")
    assert held.json()["code"] == "DatabaseUnavailable"
    assert freed.status_code == 200


def claim(url: str, number: int, answers: list[int]) -> None:
    worker = {"name": f"w{number}", "boot_id": f"{number:032x}", "device": "cpu", "threads": 1}
    asked = {"worker": worker | {"version": "0.2.0"}, "wait_seconds": 0}
    answers.append(httpx2.post(f"{url}/v1/attempts", json=asked, timeout=30).status_code)
