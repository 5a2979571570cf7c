"""Faults of the house while a job runs: disks, lost files, clocks, processes that freeze.

Every drill breaks one thing for longer than a lease, mends it, and raises unless the job then ends
as it should: succeeded, with no trial that failed. They need root, for a disk that can be filled.
"""

from __future__ import annotations

import sqlite3
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from benchmarks.cluster import racing_collector
from benchmarks.cluster.processes import Cluster
from featherweight.client.client import Client
from featherweight.errors import ServiceUnavailable
from featherweight.jobfile import JobFile
from featherweight.specs.schemas import JobSchema
from featherweight.specs.states import JobState
from tests import postgres

LEASE_SECONDS = 15.0
_LONGER = 1.5 * LEASE_SECONDS
_PATIENCE_SECONDS = 900.0
_PIECE = bytes(1 << 16)


def full_disk(cluster: Cluster, client: Client, job: JobFile) -> str:
    """The disk of the service's files has no room, for longer than a lease."""
    with _small_disk(cluster.folder / "files") as disk:
        started = _begun(client, job)
        _fill(disk / "ballast")
        time.sleep(_LONGER)
        (disk / "ballast").unlink()
        return _unspent(client, started, "full disk")


def read_only_disk(cluster: Cluster, client: Client, job: JobFile) -> str:
    """The disk of the service's files cannot be written, for longer than a lease."""
    with _small_disk(cluster.folder / "files") as disk:
        started = _begun(client, job)
        _run("mount", "-o", "remount,ro", str(disk))
        time.sleep(_LONGER)
        _run("mount", "-o", "remount,rw", str(disk))
        return _unspent(client, started, "read-only disk")


def lost_file(cluster: Cluster, client: Client, job: JobFile) -> str:
    """The dataset is gone, then corrupt, then restored: the job is paused twice and resumed."""
    started = client.submit(job.resolve(client)).id
    sha256 = next(d.sha256 for d in client.datasets() if d.name == client.job(started).spec.data)
    path = cluster.folder / "files" / "sha256" / sha256[:2] / sha256
    content = path.read_bytes()
    for harm in (path.unlink, lambda: path.write_bytes(content[:-1] + b"?")):
        harm()
        # Workers that have the file in their cache need no other.
        for cached in (cluster.folder / "worker" / "cache").glob(sha256):
            cached.write_bytes(b"")
        cluster.restart("worker")
        _until(client, started, lambda found: found.state == JobState.PAUSED)
        if sha256 not in client.job(started).stop_detail:
            raise AssertionError(f"the pause does not name {sha256}")
        path.write_bytes(content)
        client.resume(started)
    return _unspent(client, started, "lost file")


def clock_set_back(cluster: Cluster, client: Client, job: JobFile) -> str:
    """Every lease ends an hour too late, and its worker is killed: nothing waits for that hour."""
    started = _begun(client, job)
    database = sqlite3.connect(cluster.folder / "featherweight.db", timeout=60)
    with database:
        database.execute("UPDATE fw_attempts SET lease_until = lease_until + 3600")
    database.close()
    cluster.restart("worker")
    return _unspent(client, started, "clock set back")


def suspended(kind: str) -> Callable[[Cluster, Client, JobFile], str]:
    """The drill in which all processes of a kind are suspended for longer than a lease."""

    def drill(cluster: Cluster, client: Client, job: JobFile) -> str:
        started = _begun(client, job)
        with cluster.suspended(kind):
            time.sleep(_LONGER)
        return _unspent(client, started, f"suspended {kind}")

    return drill


def held_row(cluster: Cluster, client: Client, job: JobFile) -> str:
    """Somebody holds the row of a running job in PostgreSQL and sleeps: other jobs go on."""
    held = _begun(client, job)
    url = make_url(cluster.database_url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as sleeper:
        sleeper.execute("UPDATE fw_jobs SET name = name WHERE id = %s", [held])
        # The worker waits for its own job meanwhile: the other one is another worker's.
        other = _unspent(client, client.submit(job.resolve(client)).id, "next to a held row")
        sleeper.rollback()
    return f"{other}; {_unspent(client, held, 'held row')}"


@contextmanager
def _on_postgresql(*, workers: int = 2, searcher: bool = True) -> Iterator[Cluster]:
    with postgres.server() as server:
        name = f"drill_{uuid.uuid4().hex}"
        with psycopg.connect(server, autocommit=True) as own:
            own.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = make_url(server).set(drivername="postgresql", database=name)
        address = url.render_as_string(hide_password=False)
        settings = {"FEATHERWEIGHT_DATABASE_URL": address}
        with Cluster(workers=workers, searcher=searcher, **settings) as cluster:
            yield cluster


@dataclass(frozen=True, kw_only=True)
class Drill:
    """What breaks one thing, and the cluster that it breaks it on, with no files yet."""

    run: Callable[[Cluster, Client, JobFile], str]
    cluster: Callable[[], AbstractContextManager[Cluster]] = Cluster


DRILLS: Mapping[str, Drill] = {
    "full_disk": Drill(run=full_disk),
    "read_only_disk": Drill(run=read_only_disk),
    "lost_file": Drill(run=lost_file),
    "clock_set_back": Drill(run=clock_set_back),
    "suspended_service": Drill(run=suspended("serve")),
    "suspended_searcher": Drill(run=suspended("search")),
    "suspended_worker": Drill(run=suspended("worker")),
    "suspended_searcher_postgresql": Drill(run=suspended("search"), cluster=_on_postgresql),
    "racing_collector": Drill(
        run=racing_collector.drill, cluster=partial(Cluster, workers=0, searcher=False)
    ),
    "racing_collector_postgresql": Drill(
        run=racing_collector.drill, cluster=partial(_on_postgresql, workers=0, searcher=False)
    ),
    "held_row_postgresql": Drill(run=held_row, cluster=_on_postgresql),
}


def _begun(client: Client, job: JobFile) -> str:
    started = client.submit(job.resolve(client)).id
    _until(client, started, lambda found: found.trials.running > 0)
    return started


def _unspent(client: Client, job: str, what: str) -> str:
    found = _until(client, job, lambda found: found.state.is_finished)
    if found.state != JobState.SUCCEEDED or found.trials.failed:
        raise AssertionError(
            f"{what}: {found.state}, {found.trials.failed} failed, {found.stop_detail}"
        )
    attempts = [trial.attempts for trial in client.trials(job)]
    return f"{what}: {len(attempts)} trials, {sum(attempts)} attempts, none failed"


def _until(client: Client, job: str, condition: Callable[[JobSchema], bool]) -> JobSchema:
    ends = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < ends:
        try:
            if condition(found := client.job(job)):
                return found
        except ServiceUnavailable:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"job {job} did not get there: {client.job(job).state}")


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _run("umount", "-l", str(folder))


def _fill(path: Path) -> None:
    try:
        with path.open("ab", buffering=0) as file:
            while file.write(_PIECE):
                pass
    except OSError as error:
        print(f"  filled: {error}", flush=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
