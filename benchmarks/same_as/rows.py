"""The rows of the databases: our tables, and the studies in Optuna's."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.same_as import normal
from benchmarks.same_as.api import Json

_OURS = "fw_"
_EVENTS = "fw_events"
_UNKNOWN = "<id>"
_ENDS = frozenset({"trial.complete", "trial.stopped", "trial.failed"})
Row = Mapping[str, Any]


def tables(database: Path) -> dict[str, list[Row]]:
    """All rows of our tables, in the order of their making."""
    with closing(_open(database)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ours = sorted(name for (name,) in names if name.startswith(_OURS))
        return {name: list(_select(connection, f"SELECT * FROM {name}")) for name in ours}


def compared(found: Mapping[str, list[Row]], labels: normal.Labels) -> dict[str, dict[str, Json]]:
    """Plain rows by table and by name within it; events are those of each trial, in order."""
    topics = {
        f"table {table}": _named(table, rows, labels)
        for table, rows in found.items()
        if table != _EVENTS and table not in normal.DROPPED_TABLES
    }
    events = found.get(_EVENTS, [])
    topics[f"table {_EVENTS}"] = _by_subject(events, labels)
    topics["trials known at each proposal"] = _known(events, labels)
    return topics


def events(database: Path) -> list[Row]:
    """All events of the jobs, in order."""
    with closing(_open(database)) as connection:
        return list(_select(connection, f"SELECT * FROM {_EVENTS} ORDER BY job_id, seq"))


def schema(database: Path) -> dict[str, list[str]]:
    """How every table and index was made, by name; the order of constraints means nothing."""
    with closing(_open(database)) as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        return {name: _clauses(" ".join(sql.split())) for name, sql in connection.execute(query)}


def _clauses(statement: str) -> list[str]:
    columns, *constraints = re.split(r", (?=CONSTRAINT )", statement.removesuffix(")").strip())
    return [columns, *sorted(constraints)]


def studies(database: Path, labels: normal.Labels) -> dict[str, Json]:
    """Each study's attributes and trials by the label of its job."""
    with closing(_open(database)) as connection:
        found: dict[str, Json] = {}
        for study in _select(connection, "SELECT * FROM studies"):
            name = normal.words(study["study_name"], labels)
            found[f"{name}"] = _about(connection, study["study_id"], labels)
            trials = "SELECT * FROM trials WHERE study_id = ? ORDER BY number"
            for trial in _select(connection, trials, study["study_id"]):
                found[f"{name}/{trial['number']}"] = _trial(connection, trial, labels)
        return found


def _open(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True)


def _select(connection: sqlite3.Connection, query: str, *values: Any) -> Iterator[Row]:
    cursor = connection.execute(query, values)
    columns = [column for column, *_ in cursor.description]
    for row in cursor:
        yield dict(zip(columns, row, strict=True))


def _named(table: str, rows: list[Row], labels: normal.Labels) -> dict[str, Json]:
    """Rows by what they are about; those with no better name are sorted and numbered."""
    kept = [_sized(row, labels) for row in rows]
    plain = [normal.row(table, row, labels) for row in kept]
    ordered = sorted(plain, key=lambda row: json.dumps(row, sort_keys=True))
    found: dict[str, Json] = {"rows": len(rows)}
    for row in ordered:
        name = _name(row)
        found[f"{name} {len(found)}" if name in found else name] = row
    return found


def _name(row: Json) -> str:
    """The label of the row's own id, its trial and rung, or its digest."""
    if row.get("id", _UNKNOWN) != _UNKNOWN:
        return row["id"]
    if "trial_id" in row and "rung" in row:
        return f"{row['trial_id']}/{row['rung']}"
    return row.get("trial_id") or row.get("sha256") or "row"


def _sized(row: Row, labels: normal.Labels) -> Row:
    """The row without the length of a file that has times in it."""
    is_timed = row.get("sha256") in labels
    return {key: value for key, value in row.items() if not (is_timed and key == "size_bytes")}


def _by_subject(events: list[Row], labels: normal.Labels) -> dict[str, Json]:
    """Events of each trial, of each job, and of the candidates proposed to it, in their order.

    Whether a trial is made before or after a rung of the running one, or a job begins before or
    after candidates are proposed, is a matter of milliseconds: nothing is said of such an order.
    """
    found: defaultdict[str, list[Json]] = defaultdict(list)
    for event in sorted(events, key=lambda event: (event["job_id"], event["seq"])):
        plain = normal.row(_EVENTS, event, labels)
        del plain["seq"]
        kind, _, _ = plain["type"].partition(".")
        found[f"{plain['data'].get('trial', plain['job_id'])} {kind}"].append(plain)
    return dict(found)


def _known(events: list[Row], labels: normal.Labels) -> dict[str, Json]:
    """How many trials of the job had ended when each trial was made.

    Where this differs, a sampler knew more in one run than in the other: try again on a machine
    with less to do before anything else is made of the difference.
    """
    ended: defaultdict[str, int] = defaultdict(int)
    found: dict[str, Json] = {}
    for event in sorted(events, key=lambda event: (event["job_id"], event["seq"])):
        ended[event["job_id"]] += event["type"] in _ENDS
        if event["type"] == "trial.created":
            trial = json.loads(event["data"])["trial"]
            found[labels.get(trial, trial)] = ended[event["job_id"]]
    return found


def _about(connection: sqlite3.Connection, study: int, labels: normal.Labels) -> Json:
    parts = {
        "directions": "SELECT objective, direction FROM study_directions",
        "user attributes": "SELECT key, value_json FROM study_user_attributes",
        "system attributes": "SELECT key, value_json FROM study_system_attributes",
    }
    return _gathered(connection, parts, "study_id", study, labels)


def _trial(connection: sqlite3.Connection, trial: Row, labels: normal.Labels) -> Json:
    parts = {
        "params": "SELECT param_name, param_value, distribution_json FROM trial_params",
        "values": "SELECT objective, value, value_type FROM trial_values",
        "intermediate": "SELECT step, intermediate_value FROM trial_intermediate_values",
        "user attributes": "SELECT key, value_json FROM trial_user_attributes",
        "system attributes": "SELECT key, value_json FROM trial_system_attributes",
    }
    gathered = _gathered(connection, parts, "trial_id", trial["trial_id"], labels)
    return {"state": trial["state"], **gathered}


def _gathered(
    connection: sqlite3.Connection,
    parts: Mapping[str, str],
    column: str,
    value: int,
    labels: normal.Labels,
) -> Json:
    """The rows of each part that belong to one study or trial, by their first column."""
    found: dict[str, Json] = {}
    for part, query in parts.items():
        rows = [
            list(row.values()) for row in _select(connection, f"{query} WHERE {column} = ?", value)
        ]
        plain = [normal.row(part, dict(_placed(row)), labels) for row in rows]
        found[part] = {str(row.pop("0")): list(row.values()) for row in plain}
    return found


def _placed(row: list[Any]) -> Iterator[tuple[str, Any]]:
    return ((str(place), value) for place, value in enumerate(row))
