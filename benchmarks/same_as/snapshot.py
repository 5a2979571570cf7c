"""A snapshot of one checkout: what its jobs made, ready to be compared, kept as a JSON file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.same_as import documents, normal, rows, runs
from benchmarks.same_as.api import Json
from benchmarks.same_as.house import House, running
from benchmarks.same_as.jobs import Scenario

Documents = Mapping[str, Json]
"""Documents of one topic, by name."""
Snapshot = Mapping[str, Documents]
"""Documents by topic."""
_COMMANDS = ("schema", "--help", "submit --help", "worker --help", "up --help")


def of(checkout: Path, folder: Path, scenarios: Sequence[Scenario], data: Path) -> Snapshot:
    """Run the scenarios with a checkout, and gather what they made."""
    with running(checkout, folder) as house:
        found = runs.run(house, scenarios, data)
        return gather(house, found)


def gather(house: House, jobs: Mapping[str, str]) -> Snapshot:
    """Everything that is compared, of the jobs with these ids; plain and with labels."""
    answers = documents.ask(house.api, jobs)
    labels = answers.labels
    topics: dict[str, Documents] = {
        topic: {name: normal.plain(document, labels) for name, document in found.items()}
        for topic, found in answers.topics.items()
    }
    topics |= _described(house)
    topics |= rows.compared(rows.tables(house.database), labels)
    topics["studies"] = rows.studies(house.studies, labels)
    topics["command line"] = _said(house, jobs, labels)
    return topics


def write(snapshot: Snapshot, path: Path) -> None:
    """Keep a snapshot."""
    path.write_text(json.dumps(snapshot, indent=1, sort_keys=True) + "\n")


def read(path: Path) -> Snapshot:
    """A kept snapshot."""
    return json.loads(path.read_text())


def _described(house: House) -> dict[str, Documents]:
    """What the house says of itself: no ids and no times are in it, and every word counts."""
    return {
        "OpenAPI document": dict(_parts(house.api.get("/openapi.json"))),
        "JSON schema of a job": dict(_parts(house.api.get("/v1/schemas/job"), depth=1)),
        "names of metrics": {"/metrics": house.api.metrics()},
        "schema of the database": rows.schema(house.database),
    }


def _parts(document: Json, place: str = "", depth: int = 2) -> Iterator[tuple[str, Json]]:
    """The parts of a document by place, cut at a depth."""
    for key, value in document.items():
        if depth and isinstance(value, dict):
            yield from _parts(value, f"{place}/{key}", depth - 1)
        else:
            yield f"{place}/{key}", value


def _said(house: House, jobs: Mapping[str, str], labels: normal.Labels) -> dict[str, Json]:
    """What commands print, as JSON where they can."""
    found: dict[str, Json] = {words: house.call(*words.split()) for words in _COMMANDS}
    first, job = next(iter(jobs.items()))
    for command in (f"front {job}", f"report {job}", "jobs", "doctor --deep"):
        said = json.loads(house.call(*command.split(), "--json"))
        found[command.replace(job, first)] = normal.plain(said, labels)
    with tempfile.TemporaryDirectory() as folder:
        house.call("download", job, "--folder", folder)
        files = sorted(Path(folder).iterdir())
        found["download"] = {normal.words(path.name, labels): path.stat().st_size for path in files}
    return found
