"""Format meters, and what they measured of the files of a front."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from featherweight.cli.columns import FittedTable
from featherweight.cli.output import table
from featherweight.specs.cluster import MeterReading, MeterSchema, RuntimeFigures, RuntimeVersion
from featherweight.specs.schemas import FrontPoint

Column = tuple[str, str]
"""The name of a meter, and of a runtime on it."""


def meters(found: Sequence[MeterSchema]) -> FittedTable:
    """Return one line per meter."""
    rows = [
        (
            escape(one.name),
            escape(one.device),
            escape(one.cpu),
            escape(", ".join(map(_version, one.runtimes))),
            str(one.waiting),
            f"{one.last_seen:%F %T}",
        )
        for one in found
    ]
    columns = ("meter", "device", "cpu", "runtimes", ">files to measure", "last seen (UTC)")
    return table(columns, rows)


def columns(points: Sequence[FrontPoint]) -> list[Column]:
    """Return a column for each runtime of each meter that has measured one of the files."""
    found = {
        (reading.meter, figures.runtime.name)
        for point in points
        for reading in point.meters
        for figures in reading.figures
    }
    return sorted(found)


def header(column: Column) -> str:
    """Return the header of a column, aligned to the right."""
    return f">{escape(column[0])} ms ({column[1]})"


def cell(point: FrontPoint, column: Column) -> str:
    """Return the latency of a file on a meter; ``refused`` if it does not run there."""
    meter, runtime = column
    for reading in point.meters:
        for figures in reading.figures:
            if (reading.meter, figures.runtime.name) == (meter, runtime):
                return _latency(figures)
    return "-"


def notes(points: Sequence[FrontPoint]) -> list[str]:
    """Return what each meter is, and which files it could not measure, in words."""
    places: dict[str, None] = {}
    troubles: list[str] = []
    for point in points:
        for reading in point.meters:
            places |= dict.fromkeys(_places(reading))
            troubles += [f"{reading.meter}, trial {point.number}: {why}" for why in _why(reading)]
    return [*places, *troubles]


def _places(reading: MeterReading) -> list[str]:
    device = f"{reading.device}, {reading.cpu}, {reading.threads} thread"
    versions = {_version(figures.runtime) for figures in reading.figures}
    return [f"{reading.meter}: {version} on {device}" for version in sorted(versions)]


def _why(reading: MeterReading) -> list[str]:
    refusals = [
        f"{_version(figures.runtime)} refuses the file: {figures.refusal}"
        for figures in reading.figures
        if figures.refusal
    ]
    return [*refusals, *([reading.detail] if reading.detail else [])]


def _latency(figures: RuntimeFigures) -> str:
    if figures.latency_ms is None:
        return "refused"
    return f"{'~' if figures.busy else ''}{figures.latency_ms:.3f}"


def _version(runtime: RuntimeVersion) -> str:
    return f"{runtime.name} {runtime.version}"
