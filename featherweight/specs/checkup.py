"""Findings of `featherweight doctor`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, Field

Check = Literal[
    "versions", "files", "leftovers", "jobs", "studies", "disk", "leases", "modes", "settings"
]
MOST_SHOWN = 50
"""Most findings listed per check; nobody reads a million lost files."""


class Finding(BaseModel, frozen=True):
    """Something that is wrong."""

    check: Check
    what: str = Field(description="What is wrong, in a sentence.")
    thing: str = Field(description="Which file, job, worker, address or setting.")
    mend: str = Field(description="What to do about it.")
    repairable: bool = Field(default=False, description="Whether --repair does it.")


class Checkup(BaseModel, frozen=True):
    """All findings, in the order of the checks."""

    healthy: bool
    findings: tuple[Finding, ...] = ()
    left_out: dict[str, int] = Field(
        default_factory=dict, description="How many more findings each check has than are listed."
    )
    repaired: dict[str, int] = Field(
        default_factory=dict, description="What --repair has removed or mended, and how much."
    )


def of(findings: Iterable[Finding], *, repaired: dict[str, int] | None = None) -> Checkup:
    """Count all findings and keep the first ones of each check."""
    seen: Counter[str] = Counter()
    kept: list[Finding] = []
    for finding in findings:
        seen[finding.check] += 1
        if seen[finding.check] <= MOST_SHOWN:
            kept.append(finding)
    left_out = {check: count - MOST_SHOWN for check, count in seen.items() if count > MOST_SHOWN}
    return Checkup(
        healthy=not kept, findings=tuple(kept), left_out=left_out, repaired=repaired or {}
    )
