"""The collector in processes of its own, which are killed, while others upload and delete.

``python -m benchmarks.cluster.racing_collector`` collects without a pause, by the settings of the
environment, until it is killed. The drill starts several, and one that has just been killed again.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import httpx2

from benchmarks.cluster.processes import Cluster
from featherweight.client.client import Client
from featherweight.jobfile import JobFile
from service.housekeeping.tidying import collection
from service.settings import ServiceSettings
from store.files.file_store import FileStore
from store.session import Database
from tests.service import racing

_RACERS, _STEPS, _COLLECTORS = 8, 50, 2
_KILL_SECONDS = 6.0
_EXPECTED = {("upload", 201), ("upload", 200), ("delete", 204), ("part", 200)}


def drill(cluster: Cluster, client: Client, job: JobFile) -> str:
    """400 racing uploads and deletes lose no file that is referenced, and no other is left."""
    settings = ServiceSettings(
        database_url=cluster.database_url, files=cluster.folder / "files", tidy_seconds=0
    )
    database, files = Database(settings.database_url), FileStore(settings.files)
    with _collectors(cluster) as killed, httpx2.Client(base_url=cluster.url, timeout=60) as http:
        answers = racing.race(http.request, racers=_RACERS, steps=_STEPS)
    if unexpected := set(answers) - _EXPECTED:
        raise AssertionError(f"unexpected answers: {unexpected}")
    racing.collect_last(racing.house(database, files, settings))
    lost = racing.lost(database, files)
    known, on_disk = racing.stored(database, files)
    left = (known | on_disk) - racing.referenced(database)
    database.dispose()
    if lost or left:
        raise AssertionError(f"lost: {lost}; left: {sorted(left)}")
    said = ", ".join(f"{count} {what}s" for what, count in _by_kind(answers).items())
    return f"racing collector: {said}, {len(killed)} collectors killed; 0 files lost, 0 left"


def _by_kind(answers: Counter[tuple[str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for (what, _), count in answers.items():
        found[what] += count
    return found


@contextmanager
def _collectors(cluster: Cluster) -> Iterator[list[int]]:
    """Collectors that run, of which one is killed now and then; the ids of those that were."""
    command = [sys.executable, "-m", "benchmarks.cluster.racing_collector"]
    start = partial(subprocess.Popen[bytes], command, env=cluster.environment)
    running, killed = [start() for _ in range(_COLLECTORS)], list[int]()
    stopping, rng = threading.Event(), random.Random(0)

    def kill() -> None:
        while not stopping.wait(rng.uniform(0.5, 1.5) * _KILL_SECONDS):
            index = rng.randrange(_COLLECTORS)
            running[index].kill()
            running[index].wait()
            killed.append(running[index].pid)
            running[index] = start()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        stopping.set()
        killer.join()
        for process in running:
            process.kill()
            process.wait()


def main() -> None:
    """Collect until killed."""
    settings = ServiceSettings()
    database, files = Database(settings.database_url), FileStore(settings.files)
    while True:
        for _, steps in collection(racing.house(database, files, settings)):
            for _ in steps:
                pass


if __name__ == "__main__":
    main()
