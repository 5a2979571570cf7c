"""Find what a user names: a job by name, beginning of its id or whole id; a trial by number.

A command that only looks takes the newest job of a name, and says so; one that changes something
takes no guess.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from itertools import islice

import typer
from pydantic import TypeAdapter, ValidationError

from featherweight.cli.output import short
from featherweight.client.client import Client
from featherweight.errors import Ambiguous, Unknown
from featherweight.specs.names import JobName
from featherweight.specs.schemas import JobSchema, TrialSchema

_WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{0,35}")
_MOST_SHOWN = 5
_MOST_LOOKED_AT = 500
_NAME = TypeAdapter[str](JobName)


def job(service: Client, given: str, *, changes: bool = False) -> JobSchema:
    """Return the job that ``given`` names.

    With ``changes`` a name of several jobs is refused; otherwise the newest is taken, and that is
    said on stderr. Raises Ambiguous and Unknown, and NotFound for a whole id.
    """
    if _WHOLE.fullmatch(given.lower()):
        return service.job(given.lower())
    named, begun = _named(service, given), _begun(service, given)
    found = [*named, *(one for one in begun if one.id not in {other.id for other in named})]
    if not found:
        raise Unknown(f"no job is named {given!r}, and no id begins so{_near(service, given)}")
    if len(found) > 1:
        if changes or len(named) != len(found):
            raise Ambiguous(_several(given, found))
        _say_newest(given, found)
    return service.job(found[0].id)


def trial(service: Client, job: JobSchema, number: int) -> TrialSchema:
    """Return the job's trial of this number. Raises Unknown."""
    found = next(service.trials(job.id, number=number), None)
    if found is not None:
        return found
    total = job.trials.total
    have = f"its trials are 0 to {total - 1}" if total else "it has no trials yet"
    raise Unknown(f"job {short(job.id)} ({job.name}) has no trial {number}: {have}")


def _named(service: Client, given: str) -> list[JobSchema]:
    try:
        name = _NAME.validate_python(given)
    except ValidationError:
        return []
    return list(islice(service.jobs(name=name), _MOST_SHOWN + 1))


def _begun(service: Client, given: str) -> list[JobSchema]:
    if not _PREFIX.fullmatch(given.lower()):
        return []
    return list(islice(service.jobs(prefix=given.lower()), _MOST_SHOWN + 1))


def _several(given: str, found: Sequence[JobSchema]) -> str:
    more = ["  and more: see featherweight jobs"] if len(found) > _MOST_SHOWN else []
    lines = [_line(one) for one in found[:_MOST_SHOWN]]
    return "\n".join([f"{given!r} fits several jobs; give more of an id:", *lines, *more])


def _say_newest(given: str, found: Sequence[JobSchema]) -> None:
    others = ", ".join(short(one.id) for one in found[1:_MOST_SHOWN])
    more = " and more" if len(found) > _MOST_SHOWN else ""
    typer.echo(
        f"note: {given!r} names several jobs; this is the newest, {short(found[0].id)}; the "
        f"others: {others}{more}",
        err=True,
    )


def _line(one: JobSchema) -> str:
    return f"  {one.id}  {one.name}  {one.state}, {one.created_at:%F %T} UTC"


def _near(service: Client, given: str) -> str:
    """Return the names that are nearly this one, as words to add."""
    known: dict[str, str] = {}
    for one in islice(service.jobs(), _MOST_LOOKED_AT):
        known.setdefault(one.name, one.id)
    near = difflib.get_close_matches(given, list(known), n=3)
    if not near:
        return ": featherweight jobs lists them" if known else ": there are no jobs"
    return "; did you mean " + " or ".join(f"{one!r} ({short(known[one])})" for one in near) + "?"
