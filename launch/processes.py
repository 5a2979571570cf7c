"""The commands that run a process, and those that open the database.

This is the only file of this room that imports the rooms above it, and only when a command needs
one. Options become environment variables: every process reads its settings from there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from featherweight.cli import references, tables
from featherweight.cli.output import AsJson, Migrated, Token, Url, client, console, show, write_json
from featherweight.errors import FeatherweightError, ServiceUnavailable
from featherweight.specs import checkup as checkups
from featherweight.specs.checkup import Checkup
from featherweight.specs.schemas import TokenSchema
from featherweight.system import private
from launch import own_tokens

if TYPE_CHECKING:
    from store.session import Database

app = typer.Typer(add_completion=False)
study = typer.Typer(help="Optuna's copy of the trials.", no_args_is_help=True)
app.add_typer(study, name="study")
DatabaseUrl = Annotated[
    str | None, typer.Option(help=r"SQLite or PostgreSQL. \[env: FEATHERWEIGHT_DATABASE_URL]")
]
Fleet = Literal["local", "ray"]
# Tokens that a deployment brings with it: environment variable to name and scopes.
_BROUGHT = {
    "FEATHERWEIGHT_ADMIN_TOKEN": ("admin", ("read", "submit", "work", "admin")),
    "FEATHERWEIGHT_WORKER_TOKEN": ("worker", ("work",)),
}


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Run the service."""
    private.guard_process()
    _set(HOST=host, PORT=port, DATABASE_URL=database_url)
    _log_to_stderr()
    from service import main

    with translated():
        main.run()


@app.command()
def dashboard(database_url: DatabaseUrl = None) -> None:
    """Run the read-only dashboard of Optuna, to which the service forwards requests."""
    private.guard_process()
    _set(DATABASE_URL=database_url)
    from service.dashboard import app as process

    with translated():
        process.run()


@app.command()
def search(database_url: DatabaseUrl = None) -> None:
    """Run the searcher. One is active; others wait to take over."""
    private.guard_process()
    _set(DATABASE_URL=database_url)
    _log_to_stderr()
    from search import main

    with translated():
        main.run()


@app.command()
def worker(  # noqa: PLR0913 - every option of the command, by name
    url: Url = None,
    token: Token = None,
    folder: Annotated[Path | None, typer.Option(help="Caches and the spool.")] = None,
    name: Annotated[str | None, typer.Option(help="Left out: this machine's name.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Left out: every core.")] = None,
    measure_only: Annotated[
        bool, typer.Option("--measure-only", help="Train nothing: measure files of others here.")
    ] = False,
    count: Annotated[int, typer.Option(min=1, max=64, help="How many workers.")] = 1,
    fleet: Annotated[Fleet, typer.Option(help="On this machine, or on a Ray cluster.")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="HOST:PORT. Left out: the cluster of this machine.")
    ] = None,
    cpus_per_worker: Annotated[
        float | None, typer.Option(min=0.01, help="CPUs set aside by Ray. Left out: 1.")
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(min=0, help="GPUs, or parts of one. Left out: none.")
    ] = None,
) -> None:
    """Run trials for a service, or measure its files on this device."""
    private.guard_process()
    _set(URL=url, TOKEN=token, WORKER_FOLDER=folder, WORKER_NAME=name, WORKER_THREADS=threads)
    asked = {
        "address": ray_address,
        "cpus_per_worker": cpus_per_worker,
        "gpus_per_worker": gpus_per_worker,
    }
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if measure_only and (fleet != "local" or count > 1 or threads is not None):
        raise typer.BadParameter(
            "a device is one meter, at one thread: leave --fleet, --count and --threads out"
        )
    if fleet == "ray":
        from workers.fleets import ray

        ray.run(workers=count, **given)
    elif given:
        raise typer.BadParameter("the options of a Ray cluster need --fleet ray")
    elif count > 1:
        from workers.fleets import local

        local.run(workers=count)
    else:
        from workers import main

        (main.measure_only if measure_only else main.run)()


@app.command()
def migrate(database_url: DatabaseUrl = None, json: AsJson = False) -> None:
    """Upgrade the database and Optuna's storage; make the tokens named in the environment."""
    private.guard_process()
    _set(DATABASE_URL=database_url)
    from search import study as studies
    from store.database import migrate as schema
    from store.settings import StoreSettings

    settings = StoreSettings()
    with translated():
        brought = _brought()
        schema.upgrade(settings.database_url)
        studies.migrate(settings.study_storage_url)
        made = _make_tokens(brought)
        found = Migrated(
            revision=schema.current(settings.database_url),
            tokens_created=made,
            has_tokens=_has_tokens(),
        )
    tokens = f", made the tokens {', '.join(made)}" if made else ""
    show(found, as_json=json, human=lambda it: f"the schema is at {it.revision}{tokens}")


def look_over(*, deep: bool, repair: bool) -> Checkup:
    """Check everything in this environment, after the safe repairs if asked to.

    Raises FeatherweightError if it cannot be checked.
    """
    from search.study import checkup as studies
    from service.errors import ServiceError
    from service.housekeeping import doctor
    from service.settings import ServiceSettings

    settings = ServiceSettings()
    try:
        if found := doctor.schema_findings(settings):
            return checkups.of(found)
        with translated(), _database() as database:
            repaired = _repaired(database, settings.study_storage_url) if repair else {}
            wrong = studies.look(database, settings.study_storage_url)
            return checkups.of(chain(doctor.look(settings, deep=deep), wrong), repaired=repaired)
    except ServiceError as error:
        raise FeatherweightError(str(error)) from error


def _repaired(database: Database, study_url: str) -> dict[str, int]:
    from search.errors import SearcherRunning, StudySchemaOutdated
    from search.study import checkup as studies
    from service.housekeeping import doctor
    from service.settings import ServiceSettings

    done = doctor.repair(ServiceSettings())
    with suppress(SearcherRunning, StudySchemaOutdated):  # the check that follows says what is left
        done["studies"] = studies.repair(database, study_url)
    return dict(+done)


@study.command("rebuild")
def rebuild(
    job: Annotated[str, typer.Argument(metavar="JOB")],
    database_url: DatabaseUrl = None,
    json: AsJson = False,
) -> None:
    """Rebuild a job's study from our tables, which are the record."""
    _set(DATABASE_URL=database_url)
    from search import study as studies
    from store.settings import StoreSettings

    with translated(), _database() as database:
        told = studies.rebuild(database, StoreSettings().study_storage_url, job)
    if json:
        write_json({"job": job, "trials": told})
    else:
        console().print(f"the study of {job} holds {told} trials again")


@study.command("import")
def import_study(  # noqa: PLR0913 - every option of the command, by name
    database: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="An SQLite file, or sqlite:///file.db.")
    ],
    name: Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study in it.")],
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job that tries its best.")],
    count: Annotated[int, typer.Option(min=1, max=100, help="At most so many candidates.")] = 4,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Let a job try the best trials of another Optuna study, by the names of its knobs."""
    from search import study as studies
    from search.space.knobs import Knob

    with client(url, token) as service:
        wanted = references.job(service, job, changes=True)
        space = service.dry_run(wanted.spec).space
        knobs = [Knob.of_schema(schema) for schema in space]
        with translated():
            found = studies.best_of(database, name, knobs, count=count)
        answers = service.propose(wanted.id, [{"params": params} for params in found.params])
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    show(answers, as_json=json, human=tables.proposed)


def create_token(
    name: str, scopes: Sequence[str], *, expires_at: datetime | None = None
) -> TokenSchema:
    """Make a token in the database. Raises FeatherweightError."""
    from store.access import audit, tokens
    from store.attempts import views

    with translated(), _database() as database, database.write() as session:
        record, secret = tokens.create(session, name=name, scopes=scopes, expires_at=expires_at)
        audit.note(session, audit.COMMAND_LINE, "created", record, scopes=" ".join(record.scopes))
        return views.token(record, secret)


def list_tokens() -> list[TokenSchema]:
    """Return every token in the database, without secrets. Raises FeatherweightError."""
    from store.access import tokens
    from store.attempts import views

    found: list[TokenSchema] = []
    cursor: str | None = None
    with translated(), _database() as database, database.read() as session:
        while True:
            page, cursor = tokens.page(session, limit=200, cursor=cursor)
            found += [views.token(record) for record in page]
            if cursor is None:
                return found


def revoke_token(token: str) -> TokenSchema:
    """End a token. Raises FeatherweightError."""
    from store.access import audit, tokens
    from store.attempts import views

    with translated(), _database() as database, database.write() as session:
        is_valid = tokens.get(session, token).revoked_at is None
        record = tokens.revoke(session, token)
        if is_valid:
            audit.note(session, audit.COMMAND_LINE, "revoked", record)
        return views.token(record)


def _has_tokens() -> bool:
    from store.access import tokens

    with _database() as database, database.read() as session:
        return tokens.any_exist(session)


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of the store and the search into errors of the command line."""
    from search.errors import SearchError
    from store.database.outages import OUTAGES
    from store.errors import StoreError

    try:
        yield
    except (StoreError, SearchError) as error:
        raise FeatherweightError(str(error)) from error
    except OUTAGES as error:
        raise ServiceUnavailable(f"the database does not answer: {error}") from error


def _brought() -> dict[str, str]:
    """Return secrets of the environment by the variables that hold them. Raises WeakSecret."""
    from store.access import tokens

    found = {variable: os.environ[variable] for variable in _BROUGHT if os.environ.get(variable)}
    for variable, secret in found.items():
        tokens.check_secret(secret, of=variable)
    return found


def _make_tokens(brought: Mapping[str, str]) -> list[str]:
    from store.access import audit, tokens
    from store.errors import TokenTaken

    made: list[str] = []
    with _database() as database, database.write() as session:
        for variable, secret in brought.items():
            name, scopes = _BROUGHT[variable]
            with suppress(TokenTaken):  # made by an earlier run; revoked stays revoked
                record, _ = tokens.create(session, name=name, scopes=scopes, secret=secret)
                audit.note(session, audit.COMMAND_LINE, "created", record, scopes=" ".join(scopes))
                made.append(name)
        for own in own_tokens.read(os.environ.pop(own_tokens.VARIABLE, "[]")):
            tokens.renew_own(session, name=own.name, scopes=own.scopes, secret=own.secret)
    return made


@contextmanager
def _database() -> Iterator[Database]:
    from store import session
    from store.settings import StoreSettings

    database = session.open_database(StoreSettings().database_url)
    try:
        yield database
    finally:
        database.dispose()


def _log_to_stderr() -> None:
    form = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _set(**values: object) -> None:
    for name, value in values.items():
        if value is not None:
            os.environ[f"FEATHERWEIGHT_{name}"] = str(value)
