"""What two runs of the same checkout differ in, taken out by short and explicit lists.

Ids become labels such as ``search/3`` (the fourth trial of that job), so that they can be compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from benchmarks.same_as.api import Json

TIMES = frozenset(
    {
        "at",
        "created_at",
        "deleted_at",
        "expires_at",
        "finished_at",
        "first_seen",
        "last_seen",
        "lease_until",
        "paused_at",
        "paused_seconds",
        "revoked_at",
        "set_aside_until",
        "started_at",
        "touched_at",
    }
)
SECRETS = frozenset({"boot_id", "holder", "secret_sha256", "token_sha256"})
TIMINGS = frozenset(
    {
        "forecast",  # of a job: how long it will take
        "latency",
        "load_ms",
        "peak_memory_bytes",
        "seconds",
        "train_images_per_second",
    }
)
"""What a clock, or the memory of the system, says of a measurement."""
DROPPED = TIMES | SECRETS | TIMINGS | {"versions"}
"""Fields of documents and columns of tables that are never compared."""
DROPPED_TABLES = frozenset({"fw_leader", "fw_secrets"})
"""Who is alive, and secrets: the caretaker's are there only in a run of ten minutes and more."""
DROPPED_COLUMNS = frozenset(
    {
        "fw_attempts.progress",  # what the worker said in its last heartbeat
        "fw_jobs.body_sha256",  # of a body that may name the job to start from, by its id
        "trials.datetime_start",
        "trials.datetime_complete",
    }
)
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
_FIGURES = re.compile(
    # Figures of a clock within sentences: "0.053 ms", "1.2 times the baseline's latency".
    r"\d[\d.,e+-]* (?:ms|s|seconds)\b"
    r"|(?:1/)?\d[\d.]*(?:x| times) (?:of )?the baseline's latency"
)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?")
Labels = Mapping[str, str]


def plain(value: Json, labels: Labels) -> Json:
    """The document without dropped fields, its ids as labels, figures of clocks as ``<time>``."""
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if key not in DROPPED}
        return {words(key, labels): _field(key, each, labels) for key, each in kept.items()}
    if isinstance(value, list):
        return [plain(each, labels) for each in value if not _is_about_load(each)]
    return words(value, labels) if isinstance(value, str) else value


def _field(key: str, value: Json, labels: Labels) -> Json:
    """The value of a field; a budget is as it is, for its seconds are no measurement."""
    return value if key == "budget" else plain(value, labels)


def _is_about_load(value: Json) -> bool:
    """Whether it is a remark, in a list of them, on what else the machine did."""
    return isinstance(value, str) and "on a busy machine" in value


def words(text: str, labels: Labels) -> str:
    """A string with labels for ids and for the digests that have one, without times."""
    text = _ID.sub(lambda found: labels.get(found[0], "<id>"), text)
    text = _DIGEST.sub(lambda found: labels.get(found[0], found[0]), text)
    return _FIGURES.sub("<time>", _TIME.sub("<time>", text))


def row(table: str, values: Mapping[str, Any], labels: Labels) -> Json:
    """A row as a document: its JSON is read, and what is dropped is left out."""
    kept = {
        column: _read(value)
        for column, value in values.items()
        if f"{table}.{column}" not in DROPPED_COLUMNS
    }
    return plain(kept, labels)


def _read(value: Any) -> Json:
    if isinstance(value, bytes):
        return value.hex()
    if not isinstance(value, str) or not value.startswith(("{", "[", '"')):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
