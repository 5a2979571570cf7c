"""Commands about what jobs found: each is one call of the client."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from featherweight.cli import references, tables
from featherweight.cli.jobs import JobId
from featherweight.cli.output import AsJson, Token, Url, client, short, show, table
from featherweight.errors import FeatherweightError
from featherweight.specs.jobs.comparison import ComparedJob, ComparisonSchema
from featherweight.specs.schemas import RecommendationSchema
from featherweight.specs.states import TrialState

app = typer.Typer(add_completion=False)


@app.command()
def trials(
    job: JobId,
    state: Annotated[TrialState | None, typer.Option(help="Only trials in this state.")] = None,
    csv: Annotated[
        bool, typer.Option("--csv", help="All of them as CSV, with the knobs that were chosen.")
    ] = False,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """List the trials of a job by number."""
    if csv and (json or state is not None):
        raise typer.BadParameter("--csv is all trials, and no JSON: leave --state and --json out")
    with client(url, token) as service:
        found = references.job(service, job)
        if csv:
            typer.echo(service.trials_csv(found.id), nl=False)
        else:
            show(list(service.trials(found.id, state=state)), as_json=json, human=tables.trial_list)


@app.command()
def recommend(job: JobId, url: Url = None, token: Token = None, json: AsJson = False) -> None:
    """Show the file to take, and why. Fails while there is none."""
    with client(url, token) as service:
        found = references.job(service, job)
        taken = service.recommendation(found.id)
        if taken.point is None and not json:
            raise FeatherweightError(f"job {found.id} ({found.name}) has no file: {taken.reason}")
        show(taken, as_json=json, human=_recommended)
    if taken.point is None:
        raise typer.Exit(1)


@app.command()
def compare(
    one: JobId, other: JobId, url: Url = None, token: Token = None, json: AsJson = False
) -> None:
    """Show two jobs beside each other: their fronts, and the files that they recommend."""
    with client(url, token) as service:
        found = [references.job(service, given).id for given in (one, other)]
        show(service.compare(*found), as_json=json, human=_compared)


def _compared(found: ComparisonSchema) -> RenderableType:
    left, right = found.jobs
    rows = [
        ("state", left.state, right.state),
        ("trials that ended", str(left.trials), str(right.trials)),
        ("files on the front", str(left.files), str(right.files)),
        ("of them beaten by the other", *(_known(side.dominated) for side in found.jobs)),
        ("hypervolume", f"{left.hypervolume:.4f}", f"{right.hypervolume:.4f}"),
        ("recommended", *(_taken(side) for side in found.jobs)),
        *((one.metric.words, *map(one.metric.shown, one.values)) for one in found.figures),
    ]
    names = [f">{side.name} ({short(side.id)})" for side in found.jobs]
    return Group(table(["", *names], rows), *(escape(f"note: {note}") for note in found.notes))


def _known(count: int | None) -> str:
    return "-" if count is None else str(count)


def _taken(side: ComparedJob) -> str:
    return "-" if side.recommended is None else f"trial {side.recommended.number}"


def _recommended(found: RecommendationSchema) -> RenderableType:
    assert found.point is not None
    return Group(
        escape(found.text or found.reason),
        escape(f"made by: {found.point.description}"),
        escape(f"bring it: featherweight download {found.job} --recommended"),
    )
