"""Format what is there besides jobs, models and datasets: targets, and who changed what."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from compress.targets.target import Runtime, Target
from featherweight.cli.columns import FittedTable
from featherweight.cli.output import table
from featherweight.specs.cluster import AuditSchema


def targets(found: Sequence[Target]) -> FittedTable:
    """Return one line per target: its name, where it runs, what it may say, and what it costs."""
    rows = [
        (
            one.name,
            ", ".join(map(_versions, one.runtimes)) or one.unproven,
            f"opset {one.opset}, IR {one.ir_version}",
            one.bytes,
        )
        for one in found
    ]
    return table(("target", "proven in", "form", "bytes"), rows)


def _versions(runtime: Runtime) -> str:
    is_one = runtime.oldest == runtime.newest
    return f"{runtime.name} {runtime.oldest}" + ("" if is_one else f" to {runtime.newest}")


def audit(found: Sequence[AuditSchema]) -> FittedTable:
    """Return one line per change: when, who, what, and to which thing."""
    rows = [
        (
            f"{one.at:%F %T}",
            escape(one.actor or "-"),
            one.action,
            one.kind,
            escape(one.name),
            one.subject,
            escape(", ".join(f"{key} {value}" for key, value in one.detail.items())),
        )
        for one in found
    ]
    columns = ["at (UTC)", "actor", "action", "kind", "name", "id", "detail"]
    return table(columns, rows, spare=["id", "kind"])
