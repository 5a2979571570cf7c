"""Say below a table of files where they run, and where their latency was measured."""

from __future__ import annotations

from collections.abc import Sequence

from featherweight.specs.schemas import FrontPoint


def said(points: Sequence[FrontPoint]) -> list[str]:
    """Return lines about targets and runtimes, devices, and figures that are in doubt."""
    return [*_forms(points), *_devices(points), *_doubts(points)]


def _forms(points: Sequence[FrontPoint]) -> list[str]:
    """Return where the files are for and need, and which trials' if they differ."""
    forms: dict[str, list[int]] = {}
    for point in points:
        target, runtimes = point.measurement.target, point.measurement.runtimes
        needs = f" ({', '.join(runtimes)})" if runtimes else ""
        forms.setdefault(f"target {target}{needs}", []).append(point.number)
    if len(forms) < 2:
        return list(forms)
    return [
        f"{form}: trials {', '.join(map(str, sorted(set(numbers))))}"
        for form, numbers in forms.items()
    ]


def _devices(points: Sequence[FrontPoint]) -> list[str]:
    """Return where latencies were measured, and of which trials if on several devices."""
    places: dict[str, list[int]] = {}
    for point in points:
        latency = point.measurement.latency
        threads = f"{latency.threads} thread" + ("" if latency.threads == 1 else "s")
        by = f", {latency.runtime} {latency.runtime_version}" if latency.runtime else ""
        place = f"{latency.device or 'an unnamed device'}, {threads}{by}"
        places.setdefault(place, []).append(point.number)
    if len(places) < 2:
        return [f"latency: on {place}" for place in places]
    return [
        f"latency of {', '.join(map(str, sorted(set(numbers))))}: on {place}"
        for place, numbers in places.items()
    ]


def _doubts(points: Sequence[FrontPoint]) -> list[str]:
    """Return the trials timed on a busy machine, and within which factor they are right."""
    remarks: dict[str, list[int]] = {}
    for point in points:
        if remark := point.measurement.latency.remark:
            remarks.setdefault(remark, []).append(point.number)
    return [
        f"latency of {', '.join(map(str, sorted(set(numbers))))}: {remark}"
        for remark, numbers in remarks.items()
    ]
