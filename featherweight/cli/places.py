"""Say below a table of files where they run, and where their latency was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from featherweight.specs.schemas import FrontPoint


def said(points: Sequence[FrontPoint]) -> Iterator[str]:
    """Yield lines about targets and runtimes, devices, and figures that are in doubt.

    Where files differ in one of them, a line names its trials.
    """
    forms = _trials((_form(point), point) for point in points)
    for form, trials in forms.items():
        yield f"target {form}" + (f": trials {trials}" if len(forms) > 1 else "")
    places = _trials((_place(point), point) for point in points)
    for place, trials in places.items():
        yield "latency" + (f" of {trials}" if len(places) > 1 else "") + f": on {place}"
    doubts = _trials((point.measurement.latency.remark, point) for point in points)
    for remark, trials in doubts.items():
        yield f"latency of {trials}: {remark}"


def _trials(told: Iterable[tuple[str, FrontPoint]]) -> dict[str, str]:
    """Return each text with the numbers of the trials that it is said of; none has no text."""
    found: dict[str, set[int]] = {}
    for text, point in told:
        if text:
            found.setdefault(text, set()).add(point.number)
    return {text: ", ".join(map(str, sorted(numbers))) for text, numbers in found.items()}


def _form(point: FrontPoint) -> str:
    """Where the file is for, and the oldest runtimes that were tried with such files."""
    target, runtimes = point.measurement.target, point.measurement.runtimes
    return target + (f" ({', '.join(runtimes)})" if runtimes else "")


def _place(point: FrontPoint) -> str:
    """Where its latency was measured, and by what."""
    latency = point.measurement.latency
    threads = f"{latency.threads} thread" + ("" if latency.threads == 1 else "s")
    by = f", {latency.runtime} {latency.runtime_version}" if latency.runtime else ""
    return f"{latency.device or 'an unnamed device'}, {threads}{by}"
