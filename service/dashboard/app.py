"""Optuna's dashboard in a process of its own, for reading only.

One study page of 3,000 trials costs it seconds of CPU, so it never runs inside the service; the
service passes requests on to it (``service.dashboard.proxy``) after looking at tokens. It answers
nobody else: the two share a secret, which lies in the database. Three layers keep it from writing:
only GET and HEAD get in, the storage refuses every writer, and the database connection itself is
read-only.
"""

from __future__ import annotations

import contextlib
import hmac
import sys
from collections.abc import Container, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn

import optuna_dashboard
import uvicorn
from a2wsgi import WSGIMiddleware
from optuna.exceptions import StorageInternalError
from optuna.storages import (
    RDBStorage,
    _CachedStorage,
)
from optuna.study import StudyDirection
from optuna.study._multi_objective import (
    _get_pareto_front_trials_by_trials,  # pyright: ignore[reportPrivateUsage]
)
from optuna.trial import FrozenTrial, TrialState
from optuna_dashboard import _app as dashboard_app  # pyright: ignore[reportPrivateUsage]
from sqlalchemy import URL, make_url
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from featherweight.specs.schemas import Problem
from service.access import hosts
from service.dashboard.proxy import POLICY, SECRET_HEADER
from service.http import connections
from service.http.connections import Connections
from service.http.headers import SafeHeaders
from service.http.problem_details import describe, respond
from service.settings import ServiceSettings
from store.access import shared_secrets
from store.errors import SchemaOutdated
from store.session import open_database

_WORKERS = 4
_STOP_SECONDS = 2
_ARTIFACT_POLICY = "sandbox; default-src 'none'; img-src 'self'"
_UNFRAMED = "frame-ancestors 'none'"
_ELSEWHERE = "this is the dashboard's own port: open /dashboard at the address of the service"
_WRITERS = (
    "create_new_study",
    "delete_study",
    "set_study_user_attr",
    "set_study_system_attr",
    "create_new_trial",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
)


class StudiesMissing(Exception):
    """There is no study storage yet; the text says what to do."""


class ReadOnlyStorage(_CachedStorage):
    """A read-only storage of studies, with constraints in the form that the dashboard expects.

    Optuna 5 writes one attribute per constraint, but the dashboard reads the list of Optuna 4:
    without it, infeasible trials would be shown as the best.
    """

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return all trials of a study."""
        found = super().get_all_trials(study_id, deepcopy=deepcopy, states=states)
        return [_with_legacy_constraints(trial) for trial in found]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial."""
        return _with_legacy_constraints(super().get_trial(trial_id))


def _refusal(name: str) -> Any:
    def refuse(self: ReadOnlyStorage, *args: object, **options: object) -> NoReturn:
        raise PermissionError(f"{name}: the dashboard is for reading only")

    return refuse


for _name in _WRITERS:
    setattr(ReadOnlyStorage, _name, _refusal(_name))


class ReadOnly:
    """Lets in only GET and HEAD, and keeps uploaded pages from running as ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a reading request on."""
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _refused()(scope, receive, send)
            return
        if "accept-encoding" not in Headers(scope=scope):
            # Its static files fail without.
            scope = {**scope, "headers": [*scope["headers"], (b"accept-encoding", b"identity")]}

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                _make_safe(MutableHeaders(scope=message), scope["path"])
            await send(message)

        await self._app(scope, receive, safe)


class SecretRequired:
    """Lets in requests with the secret of the service; others learn only that it is alive."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what the service sends."""
        if scope["type"] != "http":
            return
        shown = Headers(scope=scope).get(SECRET_HEADER, "").encode()
        if hmac.compare_digest(shown, self._secret):
            await self._app(scope, receive, send)
        else:
            await _to_stranger(scope)(scope, receive, send)


def run(settings: ServiceSettings | None = None) -> None:
    """Serve the dashboard until a signal; exit with a message if there are no studies."""
    chosen = settings or ServiceSettings()
    try:
        app = create_app(chosen.study_storage_url, secret=_secret(chosen))
    except (StudiesMissing, SchemaOutdated) as error:
        sys.exit(str(error))
    config = connections.Config(
        app,
        connections=Connections(connections.limits_of(chosen)),
        host=chosen.dashboard_host,
        port=chosen.dashboard_listen_port,
        log_level="warning",
        timeout_graceful_shutdown=_STOP_SECONDS,
        server_header=False,
        lifespan="off",
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run()


def create_app(study_url: str, *, secret: str) -> ASGIApp:
    """Return the dashboard of the studies at ``study_url``. Raises StudiesMissing."""
    dashboard_app.get_pareto_front_trials = _feasible_front
    storage = ReadOnlyStorage(_open(study_url))
    # Each of the three packages spells the same WSGI and ASGI types in its own way.
    wsgi: Any = optuna_dashboard.wsgi(storage)
    app: Any = WSGIMiddleware(wsgi, workers=_WORKERS)
    return SafeHeaders(SecretRequired(ReadOnly(app), secret))


def _secret(settings: ServiceSettings) -> str:
    database = open_database(settings.database_url)
    try:
        with database.write() as session:
            return shared_secrets.shared(session, shared_secrets.DASHBOARD)
    finally:
        database.dispose()


def _to_stranger(scope: Scope) -> Any:
    if not hosts.is_loopback_request(Headers(scope=scope)):
        return respond(describe("HostNotAllowed", HTTPStatus.FORBIDDEN, _ELSEWHERE))
    if scope["path"] == "/healthz" and scope["method"] in ("GET", "HEAD"):
        return JSONResponse({"status": "ok"})
    return respond(describe("NotAuthenticated", HTTPStatus.UNAUTHORIZED, _ELSEWHERE))


def _open(study_url: str) -> RDBStorage:
    url = make_url(study_url)
    try:
        return RDBStorage(
            _read_only(url).render_as_string(hide_password=False),
            # A restarted database leaves dead connections in the pool.
            engine_kwargs={"pool_pre_ping": True},
            skip_table_creation=True,
        )
    except (RuntimeError, StorageInternalError) as error:
        where = url.render_as_string(hide_password=True)
        raise StudiesMissing(
            f"cannot read the studies at {where}: run `featherweight migrate`"
        ) from error


def _read_only(url: URL) -> URL:
    """Return the same database over a connection that cannot write and creates no file."""
    if url.get_backend_name() == "sqlite":
        file = f"file:{Path(url.database or '').absolute()}"
        return url.set(database=file).update_query_dict({"mode": "ro", "uri": "true"})
    options = url.query.get("options", "")
    kept = options if isinstance(options, str) else " ".join(options)
    return url.update_query_dict({"options": f"{kept} -cdefault_transaction_read_only=on".strip()})


def _feasible_front(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> list[FrozenTrial]:
    return _get_pareto_front_trials_by_trials(trials, directions, consider_constraint=True)


def _with_legacy_constraints(trial: FrozenTrial) -> FrozenTrial:
    attributes = trial._system_attrs  # pyright: ignore[reportPrivateUsage] - no public writer
    if "constraints" not in attributes:
        found = [value for key, value in attributes.items() if key.startswith("constraints:")]
        if found:
            attributes["constraints"] = found
    return trial


def _refused() -> Any:
    return respond(
        Problem(
            title="Method not allowed",
            status=405,
            code="MethodNotAllowed",
            detail="the dashboard is for reading only",
        ),
        headers={"Allow": "GET, HEAD"},
    )


def _make_safe(headers: MutableHeaders, path: str) -> None:
    del headers["Access-Control-Allow-Origin"]
    headers["X-Content-Type-Options"] = "nosniff"
    policy = headers.get("Content-Security-Policy", POLICY)
    if path.startswith("/artifacts/"):
        policy = _ARTIFACT_POLICY
    headers["Content-Security-Policy"] = policy if _UNFRAMED in policy else f"{policy}; {_UNFRAMED}"
