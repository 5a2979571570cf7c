"""Commands about jobs: each is one call of the client."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from featherweight import candidatefile, jobfile
from featherweight.cli import datasets, files, follow, references, tables
from featherweight.cli.output import (
    AsJson,
    Owner,
    Token,
    Url,
    client,
    console,
    show,
    write_json_line,
)
from featherweight.client.client import Client
from featherweight.errors import FeatherweightError, Gone, NotFound
from featherweight.specs.jobs.editing import JobChanges
from featherweight.specs.schemas import DryRunSchema, FrontPoint, JobSchema
from featherweight.specs.states import JobState

app = typer.Typer(add_completion=False)
JobId = Annotated[
    str, typer.Argument(metavar="JOB", help="Name of a job, or its id, or the beginning of its id.")
]


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Job file, YAML or JSON.")],
    dry_run: Annotated[
        bool,
        typer.Option(help="Only say what the job would do; what it uploads is deleted again."),
    ] = False,
    key: Annotated[str | None, typer.Option(help="Idempotency key of the submission.")] = None,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Start a job from a file, uploading its data and model if need be."""
    job = jobfile.read(file)
    with client(url, token) as service, ExitStack() as undo:
        spec = job.resolve(service, undo=undo if dry_run else None)
        if dry_run:
            show(service.dry_run(spec), as_json=json, human=_dry_run)
        else:
            show(service.submit(spec, idempotency_key=key), as_json=json, human=tables.job)


@app.command()
def jobs(  # noqa: PLR0913 - every option of the command, by name
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    owner: Owner = None,
    name: Annotated[str | None, typer.Option(help="Only jobs of this name.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only jobs with this tag.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of entries.")] = 20,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with client(url, token) as service:
        found = list(islice(service.jobs(state=state, owner=owner, name=name, tag=tag), limit))
        show(found, as_json=json, human=tables.jobs)


@app.command()
def watch(
    job: JobId,
    after: Annotated[int, typer.Option(min=0, help="With --json: events after this one.")] = 0,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Follow a job to its end; --json prints one event per line. Fails if the job does."""
    with client(url, token) as service:
        found = references.job(service, job)
        if json:
            for event in service.watch(found.id, after=after):
                write_json_line(event)
            found = service.job(found.id)
        else:
            found = follow.follow(service, found, console(stderr=True))
            console().print(tables.job(found))
    if found.state != JobState.SUCCEEDED:
        raise typer.Exit(1)


@app.command()
def propose(
    job: JobId,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="List of candidates, YAML or JSON.")],
    key: Annotated[str | None, typer.Option(help="Idempotency key of the request.")] = None,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Let a job try candidates of your own before the sampler's next ones."""
    found = candidatefile.read(file)
    with client(url, token) as service:
        to = references.job(service, job, changes=True)
        answers = service.propose(to.id, found, idempotency_key=key)
        show(answers, as_json=json, human=tables.proposed)


@app.command()
def front(job: JobId, url: Url = None, token: Token = None, json: AsJson = False) -> None:
    """Show the best files so far."""
    with client(url, token) as service:
        show(service.front(references.job(service, job).id), as_json=json, human=tables.front)


@app.command()
def why(
    job: Annotated[
        str, typer.Argument(metavar="JOB", help="Name or id of a job; or alone, id of a trial.")
    ],
    number: Annotated[
        int | None, typer.Argument(metavar="NUMBER", min=0, help="Number of its trial.")
    ] = None,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Explain why a trial ended as it did."""
    with client(url, token) as service:
        trial = job if number is None else _trial(service, job, number)
        show(service.why(trial), as_json=json, human=tables.why)


@app.command()
def report(job: JobId, url: Url = None, token: Token = None, json: AsJson = False) -> None:
    """Show what a job found."""
    with client(url, token) as service:
        show(service.report(references.job(service, job).id), as_json=json, human=tables.report)


@app.command()
def download(  # noqa: PLR0913 - every option of the command, by name
    source: Annotated[
        str, typer.Argument(metavar="JOB|FILE", help="A job, for its front; or id of a file.")
    ],
    folder: Annotated[Path, typer.Option(help="Where to put it.")] = Path(),
    form: Annotated[
        str | None,
        typer.Option("--target", help="Where it must run: see featherweight targets."),
    ] = None,
    recommended: Annotated[
        bool, typer.Option("--recommended", help="Only the file that the job recommends.")
    ] = False,
    card: Annotated[
        bool, typer.Option(help="Write its card beside each network: NAME.md and NAME.json.")
    ] = True,
    metadata: Annotated[
        bool, typer.Option("--metadata", help="Put what the card says into the file, too.")
    ] = False,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Download every file of a job's front, or one file; verified by SHA-256."""
    with client(url, token) as service:
        paths: list[str] = []
        for artifact, file in _wanted(service, source, recommended=recommended):
            path = service.download(file, folder, target=form, metadata=metadata)
            paths.append(str(path))
            if path.suffix == ".onnx":
                paths += map(str, files.write_words(service, artifact, path))
            if card and path.suffix == ".onnx":
                files.write_card(service, artifact, path, target=form)
        show(paths, as_json=json, human="\n".join)


@app.command()
def workers(url: Url = None, token: Token = None, json: AsJson = False) -> None:
    """List the workers heard of lately, and those that are set aside."""
    with client(url, token) as service:
        show(list(service.workers()), as_json=json, human=tables.workers)


@app.command()
def cancel(job: JobId, url: Url = None, token: Token = None, json: AsJson = False) -> None:
    """Stop a job for good; its files stay."""
    with client(url, token) as service:
        show(
            service.cancel(references.job(service, job, changes=True).id),
            as_json=json,
            human=tables.job,
        )


@app.command()
def delete(
    job: Annotated[list[str], typer.Argument(metavar="JOB...", help="Names or ids of jobs.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Delete jobs that have ended, with their trials, files and studies."""
    with client(url, token) as service:
        found = [references.job(service, one, changes=True) for one in job]
        if not yes:
            _confirm(found)
        for one in found:
            service.delete(one.id)
    ids = [one.id for one in found]
    show(ids, as_json=json, human=lambda ids: "\n".join(f"job {one} is deleted" for one in ids))


@app.command()
def edit(  # noqa: PLR0913 - every option of the command, by name
    job: JobId,
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="May be given several times: all of its tags.")
    ] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Take all tags away.")] = False,
    priority: Annotated[
        int | None, typer.Option(min=-100, max=100, help="The highest gets workers first.")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=2, help="More trials in all.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="More wall time.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="More epochs of search.")] = None,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Change a job's name, tags or priority; more budget opens a search that is over again."""
    limits = {"trials": trials, "seconds": seconds, "epochs": epochs}
    budget = {key: value for key, value in limits.items() if value is not None}
    asked = {
        "name": name,
        "tags": [] if no_tags else tag or None,
        "priority": priority,
        "budget": budget or None,
    }
    changes = JobChanges.model_validate({k: v for k, v in asked.items() if v is not None})
    with client(url, token) as service:
        asked = changes.model_dump(mode="json", exclude_unset=True)
        found = service.edit(references.job(service, job, changes=True).id, asked)
        show(found, as_json=json, human=tables.job)


@app.command()
def pause(job: JobId, url: Url = None, token: Token = None, json: AsJson = False) -> None:
    """Hand out no more trials of a job."""
    with client(url, token) as service:
        show(
            service.pause(references.job(service, job, changes=True).id),
            as_json=json,
            human=tables.job,
        )


@app.command()
def resume(job: JobId, url: Url = None, token: Token = None, json: AsJson = False) -> None:
    """Continue a paused job."""
    with client(url, token) as service:
        show(
            service.resume(references.job(service, job, changes=True).id),
            as_json=json,
            human=tables.job,
        )


def _trial(service: Client, job: str, number: int) -> str:
    return references.trial(service, references.job(service, job), number).id


def _wanted(
    service: Client, source: str, *, recommended: bool
) -> Sequence[tuple[str, FrontPoint | str]]:
    """Return what to download, each by id and as it is known: a front, one of it, or one file."""
    try:
        job = references.job(service, source)
    except NotFound as error:
        if recommended or isinstance(error, Gone):
            raise
        return [(source, source)]
    if not recommended:
        return [(point.artifact, point) for point in service.front(job.id).points]
    found = service.recommendation(job.id)
    if found.point is None:
        raise FeatherweightError(f"job {job.id} ({job.name}) has no file to take: {found.reason}")
    return [(found.point.artifact, found.point)]


def _confirm(found: Sequence[JobSchema]) -> None:
    """Ask for confirmation, and end the command unless the answer is yes."""
    for job in found:
        typer.echo(f"{job.id}  {job.name}  {job.state}, {job.trials.total} trials", err=True)
    what = "this job" if len(found) == 1 else f"these {len(found)} jobs"
    typer.confirm(f"Delete {what}, files and all?", abort=True, err=True)


def _dry_run(found: DryRunSchema) -> str:
    knobs = "\n".join(
        f"  {knob.name}: {list(knob.choices) or f'{knob.low} to {knob.high}'}"
        for knob in found.space
    )
    trials = ", ".join(f"{count} {phase}" for phase, count in found.trials.items())
    seconds = found.forecast.seconds
    time = "unknown" if seconds is None else f"{seconds:.0f} s"
    checks = "\n".join(f"  {check}" for check in found.feasibility) or "  none"
    count = found.candidates
    candidates = "infinitely many candidates" if count is None else f"{count:g} candidates"
    epochs = found.forecast.search_epochs
    training = "" if epochs is None else f", {epochs:.0f} epochs of search"
    said = (
        f"trials: {trials}; sampler {found.sampler}\n"
        f"space of {candidates}:\n{knobs}\n"
        f"constraints:\n{checks}\ntime: {time}{training} ({found.forecast.basis})"
    )
    return "\n".join([*_understood(found), said, *_warned(found.warnings)])


def _understood(found: DryRunSchema) -> list[str]:
    """Lines about the data and whether the model fits it."""
    lines = [] if found.data is None else datasets.summary(found.data)
    return [escape(line) for line in lines + ([found.fit] if found.fit else [])]


def _warned(warnings: Sequence[str]) -> list[str]:
    return [escape(f"warning: {warning}") for warning in warnings]
