"""Uploads and deletes that race for the same bytes, beside a collector that never rests."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
from sqlalchemy import select

from service.housekeeping.tidying import HousekeepingScope, collection, work
from service.settings import ServiceSettings
from store.database import clock
from store.files.file_store import FileStore
from store.housekeeping import leftovers
from store.session import Database
from store.tables.records import DatasetRecord, FileRecord, ModelRecord
from tests.service.running import MODEL_FIELDS, form, npz, weights

COLLECTORS = 2
CONTENTS = 5
"""So few different files that most of what happens at once is about the same bytes."""
Ask = Callable[..., Any]


def datasets() -> list[bytes]:
    """Small datasets of different bytes."""
    labels = np.arange(8) % 2
    draw = np.random.default_rng
    return [
        npz(x_train=draw(seed).integers(0, 16, (8, 8, 8), dtype=np.uint8), y_train=labels)
        for seed in range(CONTENTS)
    ]


class Racer:
    """One client: it uploads under names of its own, and deletes some of them again."""

    def __init__(self, ask: Ask, *, number: int, steps: int) -> None:
        self._ask = ask
        self._number = number
        self._steps = steps
        self._random = random.Random(number)
        self._datasets, self._weights = datasets(), weights()
        self._names: list[tuple[str, str]] = []
        self.answers: Counter[tuple[str, int]] = Counter()

    def run(self) -> Counter[tuple[str, int]]:
        for step in range(self._steps):
            # So many deletes that the last reference to some bytes goes again and again.
            acts = (self._upload, self._upload_in_parts, self._upload_model, *[self._delete] * 3)
            act = self._random.choice(acts)
            act(f"r{self._number}-{step}")
        return self.answers

    def _note(self, what: str, answer: Any) -> int:
        self.answers[what, answer.status_code] += 1
        return answer.status_code

    def _upload(self, name: str) -> None:
        content = self._random.choice(self._datasets)
        self._post("datasets", name, **form(content, name=name))

    def _upload_model(self, name: str) -> None:
        self._post("models", name, **form(self._weights, **(MODEL_FIELDS | {"name": name})))

    def _upload_in_parts(self, name: str) -> None:
        content = self._random.choice(self._datasets)
        begun = self._ask("POST", "/v1/uploads", json={"size_bytes": len(content)})
        headers = {"Upload-Offset": "0", "Content-Type": "application/octet-stream"}
        path = f"/v1/uploads/{begun.json()['id']}"
        self._note("part", self._ask("PATCH", path, content=content, headers=headers))
        parts = {"spec": (None, json.dumps({"name": name})), "upload": (None, begun.json()["id"])}
        self._post("datasets", name, files=parts)

    def _post(self, kind: str, name: str, **body: Any) -> None:
        if self._note("upload", self._ask("POST", f"/v1/{kind}", **body)) == 201:
            self._names.append((kind, name))

    def _delete(self, _: str) -> None:
        if self._names:
            kind, name = self._names.pop(self._random.randrange(len(self._names)))
            self._note("delete", self._ask("DELETE", f"/v1/{kind}/{name}"))


def race(ask: Ask, *, racers: int, steps: int) -> Counter[tuple[str, int]]:
    """So many clients at once; how often each of what they asked was answered how."""
    all_of_them = [Racer(ask, number=number, steps=steps) for number in range(racers)]
    with ThreadPoolExecutor(racers) as pool:
        return sum(pool.map(Racer.run, all_of_them), Counter())


def house(database: Database, files: FileStore, settings: ServiceSettings) -> HousekeepingScope:
    """A house whose garbage is collected at once."""
    return HousekeepingScope(
        database=database, files=files, settings=settings, grace=timedelta(), takes_unmarked=True
    )


@contextmanager
def collecting(of: HousekeepingScope) -> Iterator[Counter[str]]:
    """Collectors that never rest; what they have removed."""
    removed: Counter[str] = Counter()
    stopping = threading.Event()

    def collect() -> None:
        while not stopping.is_set():
            for name, steps in collection(of):
                for count in steps:
                    removed[name] += count

    with ThreadPoolExecutor(COLLECTORS) as pool:
        done = [pool.submit(collect) for _ in range(COLLECTORS)]
        try:
            yield removed
        finally:
            stopping.set()
            for each in done:
                each.result()


def collect_last(of: HousekeepingScope) -> None:
    """What is left when everybody is done: uploads whose requests nobody repeats go, too."""
    later = clock.utc_now() + timedelta(days=1)
    while leftovers.forget_finished(of.database, before=later):
        pass
    for _, steps in work(of):
        for _ in steps:
            pass


def referenced(database: Database) -> set[str]:
    """Digests of every model and dataset."""
    with database.read() as session:
        return {
            sha256
            for kind in (DatasetRecord, ModelRecord)
            for sha256 in session.scalars(select(kind.sha256))
        }


def stored(database: Database, files: FileStore) -> tuple[set[str], set[str]]:
    """Digests of the files that the database knows, and of those on the disk."""
    with database.read() as session:
        known = set(session.scalars(select(FileRecord.sha256)))
    return known, {path.name for path in files.content_folder.glob("*/*")}


def lost(database: Database, files: FileStore) -> list[str]:
    """Digests that something refers to and whose bytes are not there, or are others."""
    found = []
    for sha256 in referenced(database):
        try:
            files.verify_again(sha256)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is lost
            found.append(f"{sha256}: {error}")
    return found
