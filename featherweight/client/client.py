"""The Python client: submit a job, watch it, list its front, download its files.

client = Client("http://127.0.0.1:8000")
job = client.submit(spec)
for event in client.watch(job.id): ...
for point in client.front(job.id).points:
    client.download(point, Path("files"))
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

from pydantic import BaseModel, TypeAdapter

from compress.network.families.catalog import Architecture
from compress.network.preprocessing import Normalisation
from compress.network.signature import ExampleShape
from compress.targets.target import Target
from compress.tasks.names import FIRST_TASK, TaskName
from compress.tasks.reading import DatasetReading
from featherweight.cards.card import ModelCard
from featherweight.cards.package import Package
from featherweight.client import events, filenames, folders, transport, uploads
from featherweight.client.transport import Call, RetryPolicy, Transport
from featherweight.errors import NotInspected
from featherweight.specs.cluster import AuditSchema, MeterReading, MeterSchema, WorkerSchema
from featherweight.specs.job import JobSpec
from featherweight.specs.jobs.candidates import CandidateRequest, CandidateSchema, ProposedSchema
from featherweight.specs.jobs.comparison import ComparisonSchema
from featherweight.specs.schemas import (
    ArtifactSchema,
    DatasetSchema,
    DryRunSchema,
    EventSchema,
    FrontPoint,
    FrontSchema,
    JobSchema,
    ModelSchema,
    Page,
    RecommendationSchema,
    ReportSchema,
    TokenSchema,
    TrialSchema,
    WhySchema,
)
from featherweight.specs.states import ModelState

Schema = TypeVar("Schema", bound=BaseModel)
Spec = JobSpec | Mapping[str, Any]
Candidates = Sequence[CandidateRequest | Mapping[str, Any]]
_CONVERSION_SECONDS = 300.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
"""Seconds between two questions for the state of a model."""


class Client:
    """One service, typed. Every method raises ``featherweight.errors.FeatherweightError``.

    Calls that are safe to repeat are retried with backoff (``retry``); a submitted job always
    carries an idempotency key, so it is one of them.
    """

    def __init__(
        self, url: str, token: str | None = None, *, retry: RetryPolicy | None = None
    ) -> None:
        self._transport = Transport(url, token=token, retry=retry)
        self.url = self._transport.url

    def __enter__(self) -> Client:
        """Use it as a context to close its connections at the end."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def submit(self, spec: Spec, *, idempotency_key: str | None = None) -> JobSchema:
        """Start a job. The same key and spec again return the same job."""
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        call = Call(method="POST", path="/v1/jobs", json=_document(spec), headers=headers)
        return self._ask(JobSchema, call)

    def dry_run(self, spec: Spec) -> DryRunSchema:
        """Return what the job would do: its space, its trials, a forecast of its time."""
        params = {"dry_run": "true"}
        call = Call(method="POST", path="/v1/jobs", json=_document(spec), params=params)
        return self._ask(DryRunSchema, call)

    def job(self, job: str) -> JobSchema:
        """Return one job."""
        return self._get(JobSchema, f"/v1/jobs/{job}")

    def jobs(
        self,
        *,
        state: str | None = None,
        owner: str | None = None,
        name: str | None = None,
        prefix: str | None = None,
        tag: str | None = None,
    ) -> Iterator[JobSchema]:
        """Return all jobs, newest first; or by state, owner, name, tag or ``prefix`` of id."""
        filters = {"state": state, "owner": owner, "name": name, "id": prefix, "tag": tag}
        return self._pages(JobSchema, "/v1/jobs", **filters)

    def trials(
        self, job: str, *, state: str | None = None, number: int | None = None
    ) -> Iterator[TrialSchema]:
        """Return all trials of a job by number, or the one of a number, fetched page by page."""
        return self._pages(TrialSchema, f"/v1/jobs/{job}/trials", state=state, number=number)

    def compare(self, job: str, other: str) -> ComparisonSchema:
        """Return two jobs beside each other."""
        call = Call(method="GET", path=f"/v1/jobs/{job}/compare", params={"with": other})
        return self._ask(ComparisonSchema, call)

    def trials_csv(self, job: str) -> str:
        """Return all trials of a job as CSV, with figures, times and chosen knobs."""
        return self._transport.send(Call(method="GET", path=f"/v1/jobs/{job}/trials.csv")).text

    def trial(self, trial: str) -> TrialSchema:
        """Return one trial."""
        return self._get(TrialSchema, f"/v1/trials/{trial}")

    def why(self, trial: str) -> WhySchema:
        """Return why a trial ended as it did."""
        return self._get(WhySchema, f"/v1/trials/{trial}/why")

    def artifacts(self, trial: str) -> tuple[ArtifactSchema, ...]:
        """Return the files of a trial."""
        answer = self._transport.send(Call(method="GET", path=f"/v1/trials/{trial}/artifacts"))
        return TypeAdapter(tuple[ArtifactSchema, ...]).validate_json(answer.content)

    def rerun(self, trial: str) -> TrialSchema:
        """Run a trial's candidate again with another seed."""
        call = Call(method="POST", path=f"/v1/trials/{trial}/rerun", idempotent=False)
        return self._ask(TrialSchema, call)

    def propose(
        self, job: str, candidates: Candidates, *, idempotency_key: str | None = None
    ) -> tuple[ProposedSchema, ...]:
        """Let a job try these candidates before those of the sampler; equal ones run once.

        Each is a mapping with ``params`` (values of the job's knobs) or ``steps`` (configs of
        techniques); the job fills in missing fields. The answers come in the same order.
        """
        body = [one.given if isinstance(one, CandidateRequest) else dict(one) for one in candidates]
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        path = f"/v1/jobs/{job}/candidates"
        answer = self._transport.send(Call(method="POST", path=path, json=body, headers=headers))
        return TypeAdapter(tuple[ProposedSchema, ...]).validate_json(answer.content)

    def candidates(self, job: str) -> Iterator[CandidateSchema]:
        """Return candidates that users or earlier jobs proposed, in the order of trying."""
        return self._pages(CandidateSchema, f"/v1/jobs/{job}/candidates")

    def front(self, job: str) -> FrontSchema:
        """Return the best files so far."""
        return self._get(FrontSchema, f"/v1/jobs/{job}/front")

    def recommendation(self, job: str) -> RecommendationSchema:
        """Return one file of the front and the reason to take it."""
        return self._get(RecommendationSchema, f"/v1/jobs/{job}/recommendation")

    def report(self, job: str) -> ReportSchema:
        """Return what the job found."""
        return self._get(ReportSchema, f"/v1/jobs/{job}/report")

    def watch(self, job: str, *, after: int = 0) -> Iterator[EventSchema]:
        """Yield every event of the job after sequence number ``after``, live, to its end.

        It reconnects after outages, misses none, and ends after the final event of the job.
        """
        return events.follow(self._transport, job, after=after)

    def targets(self) -> tuple[Target, ...]:
        """Return where files can run, and in what form."""
        answer = self._transport.send(Call(method="GET", path="/v1/targets"))
        return TypeAdapter(tuple[Target, ...]).validate_json(answer.content)

    def download(
        self,
        file: FrontPoint | str,
        folder: Path,
        *,
        target: str | None = None,
        metadata: bool = False,
    ) -> Path:
        """Fetch a file of the front, or an artifact by id, into ``folder``; verified by digest.

        With a ``target`` it comes in that target's form, which the service makes first; with
        ``metadata`` what its card says stands in its ONNX metadata, too.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if target is not None or metadata:
            return self._download_form(file, folder, target, metadata=metadata)
        if isinstance(file, str):
            place = folder / f"{file}.{self._suffix(file)}"
            self._transport.download(f"/v1/artifacts/{file}", place)
            return place
        place = folder / filenames.of_form(file)
        self._transport.download(f"/v1/artifacts/{file.artifact}", place, sha256=file.sha256)
        return place

    def _download_form(
        self, file: FrontPoint | str, folder: Path, target: str | None, *, metadata: bool
    ) -> Path:
        artifact = file if isinstance(file, str) else file.artifact
        given = ({"target": target} if target else {}) | ({"metadata": "true"} if metadata else {})
        place = folder / filenames.of_form(file, target, metadata=metadata)
        # Its digest is known once it is made: the answer says it.
        path = f"/v1/artifacts/{artifact}?{urlencode(given)}"
        self._transport.download(path, place, timeout_seconds=_CONVERSION_SECONDS)
        return place

    def words(self, artifact: str) -> Package:
        """Return what a network of texts needs beside it. Raises Invalid if it needs nothing."""
        return self._get(Package, f"/v1/artifacts/{artifact}/words")

    def card(self, artifact: str, *, target: str | None = None) -> ModelCard:
        """Return what a file takes, answers and costs, how accurate it is, where it runs."""
        return ModelCard.model_validate_json(self._card(artifact, "json", target))

    def card_in_markdown(self, artifact: str, *, target: str | None = None) -> str:
        """Return the card as a document for people."""
        return self._card(artifact, "markdown", target).decode()

    def _card(self, artifact: str, form: str, target: str | None) -> bytes:
        params = {"format": form} | ({} if target is None else {"target": target})
        path = f"/v1/artifacts/{artifact}/card"
        call = Call(method="GET", path=path, params=params, timeout_seconds=_CONVERSION_SECONDS)
        return self._transport.send(call).content

    def snippet(self, artifact: str, language: str) -> str:
        """Return a program that runs a file: in python, javascript, cpp or java."""
        path = f"/v1/artifacts/{artifact}/snippets/{quote(language, safe='')}"
        return self._transport.send(Call(method="GET", path=path)).text

    def manifest(self, artifact: str) -> dict[str, Any]:
        """Return how a file was made: candidate, seeds, digests, versions, measurements."""
        path = f"/v1/artifacts/{artifact}/manifest"
        return self._transport.send(Call(method="GET", path=path)).json()

    def measurements(self, artifact: str) -> tuple[MeterReading, ...]:
        """Return what meters measured of a file, or have yet to measure."""
        path = f"/v1/artifacts/{artifact}/measurements"
        answer = self._transport.send(Call(method="GET", path=path))
        return TypeAdapter(tuple[MeterReading, ...]).validate_json(answer.content)

    def upload_model(
        self,
        path: Path,
        *,
        name: str,
        architecture: Architecture | None = None,
        normalisation: Normalisation | None = None,
        input_shape: ExampleShape | None = None,
    ) -> ModelSchema:
        """Send an ONNX file, or safetensors weights of an architecture with their normalisation.

        The same name and bytes again return the same model. An ONNX file is inspected afterwards:
        ``inspected`` waits for that. One that leaves the size of its examples open needs an
        ``input_shape``, of images channels, height and width. Raises UploadRefused for a file of
        another kind, with the way to the right one.
        """
        uploads.check_kind(path, "network" if architecture is None else "weights")
        parts = {"architecture": architecture, "normalisation": normalisation}
        given: dict[str, Any] = {
            key: part.model_dump(mode="json") for key, part in parts.items() if part
        }
        if input_shape is not None:
            given["input_shape"] = input_shape
        answer = uploads.send(self._transport, "/v1/models", path, spec={"name": name, **given})
        return ModelSchema.model_validate_json(answer)

    def inspected(self, model: str, *, seconds: float = 600.0) -> ModelSchema:
        """Wait until a model's inspection has ended, and return the model, ready or refused.

        Raises NotInspected if that takes longer than so many seconds.
        """
        ends, pause = time.monotonic() + seconds, _FIRST_PAUSE
        while (found := self.model(model)).state == ModelState.INSPECTING:
            if time.monotonic() > ends:
                raise NotInspected(f"the model {model!r} is inspected for {seconds:g} s already")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return found

    def upload_dataset(
        self,
        path: Path,
        *,
        name: str,
        task: TaskName | None = None,
        reading: DatasetReading | None = None,
        tokenizer: Path | None = None,
        tell: uploads.Tell | None = None,
    ) -> DatasetSchema:
        """Send a dataset: an npz, pictures in a folder for each class, a table, or texts.

        The same name and bytes again return the same dataset. It is for ``image_classification``
        unless a ``task``, here or in ``reading``, says otherwise. ``reading`` says what the file
        does not: see ``docs/data.md``; texts may have a ``tokenizer`` (a tokenizer.json). What was
        made of it is in the answer's ``info``, as ``notes`` and ``warnings``. ``tell(stage,
        share)`` learns how far it is with a file of more than 4 MiB: sending, then converting and
        inspecting, each from 0 to 1; it is called from another thread, too. Raises UploadRefused
        for a file of another kind, with the way to the right one.
        """
        said = {} if reading is None else reading.model_dump(mode="json", exclude_defaults=True)
        spec = {"name": name, **said, **({"task": task} if task else {})}
        with folders.as_file(path, tokenizer=tokenizer) as file:
            of_task = DatasetReading(task=spec.get("task", FIRST_TASK))
            uploads.check_kind(file, of_task.expected)
            answer = uploads.send(self._transport, "/v1/datasets", file, spec=spec, tell=tell)
        return DatasetSchema.model_validate_json(answer)

    def model(self, model: str) -> ModelSchema:
        """Return one uploaded model by id or name."""
        return self._get(ModelSchema, f"/v1/models/{model}")

    def models(self, *, owner: str | None = None) -> Iterator[ModelSchema]:
        """Return all uploaded models, or those of one owner."""
        return self._pages(ModelSchema, "/v1/models", owner=owner)

    def dataset(self, dataset: str) -> DatasetSchema:
        """Return one uploaded dataset by id or name."""
        return self._get(DatasetSchema, f"/v1/datasets/{dataset}")

    def preview(self, dataset: str, path: Path) -> Path:
        """Write a sheet of a dataset's images, a png, to ``path``: a row for each class."""
        call = Call(method="GET", path=f"/v1/datasets/{dataset}/preview", timeout_seconds=120.0)
        path.write_bytes(self._transport.send(call).content)
        return path

    def datasets(self, *, owner: str | None = None) -> Iterator[DatasetSchema]:
        """Return all uploaded datasets, or those of one owner."""
        return self._pages(DatasetSchema, "/v1/datasets", owner=owner)

    def cancel(self, job: str) -> JobSchema:
        """Stop a job for good; its files stay."""
        return self._ask(JobSchema, Call(method="POST", path=f"/v1/jobs/{job}/cancel"))

    def edit(self, job: str, changes: Mapping[str, Any]) -> JobSchema:
        """Change name, tags or priority; a higher budget opens a search that is over again."""
        call = Call(method="PATCH", path=f"/v1/jobs/{job}", json=dict(changes))
        return self._ask(JobSchema, call)

    def pause(self, job: str) -> JobSchema:
        """Hand out no more trials of a job."""
        return self._ask(JobSchema, Call(method="POST", path=f"/v1/jobs/{job}/pause"))

    def resume(self, job: str) -> JobSchema:
        """Continue a paused job."""
        return self._ask(JobSchema, Call(method="POST", path=f"/v1/jobs/{job}/resume"))

    def delete(self, job: str) -> None:
        """Delete an ended job with its trials, files and study. A repeat raises NotFound."""
        self._transport.send(Call(method="DELETE", path=f"/v1/jobs/{job}"))

    def delete_dataset(self, dataset: str) -> None:
        """Delete a dataset, by id or name. Raises Conflict if a job refers to it, and NotFound."""
        self._transport.send(Call(method="DELETE", path=f"/v1/datasets/{dataset}"))

    def delete_model(self, model: str) -> None:
        """Delete a model, by id or name. Raises Conflict if a job refers to it, and NotFound."""
        self._transport.send(Call(method="DELETE", path=f"/v1/models/{model}"))

    def clone(self, job: str, changes: Mapping[str, Any] | None = None) -> JobSchema:
        """Submit a job's spec again with ``changes`` on top."""
        path = f"/v1/jobs/{job}/clone"
        call = Call(method="POST", path=path, json=dict(changes or {}), idempotent=False)
        return self._ask(JobSchema, call)

    def workers(self) -> Iterator[WorkerSchema]:
        """Return workers heard of lately."""
        return self._pages(WorkerSchema, "/v1/workers")

    def meters(self) -> tuple[MeterSchema, ...]:
        """Return the devices that measure files of others."""
        answer = self._transport.send(Call(method="GET", path="/v1/meters"))
        return TypeAdapter(tuple[MeterSchema, ...]).validate_json(answer.content)

    def tokens(self) -> Iterator[TokenSchema]:
        """Return all tokens, without their secrets."""
        return self._pages(TokenSchema, "/v1/tokens")

    def create_token(
        self, name: str, scopes: tuple[str, ...], *, expires_at: datetime | None = None
    ) -> TokenSchema:
        """Make a token. Its secret is in this answer and nowhere else."""
        body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if expires_at is not None:
            body["expires_at"] = expires_at.isoformat()
        call = Call(method="POST", path="/v1/tokens", json=body, idempotent=False)
        return self._ask(TokenSchema, call)

    def revoke_token(self, token: str) -> None:
        """Revoke a token."""
        self._transport.send(Call(method="DELETE", path=f"/v1/tokens/{token}"))

    def audit(
        self, *, actor: str | None = None, kind: str | None = None, subject: str | None = None
    ) -> Iterator[AuditSchema]:
        """Return what was created, changed and deleted, and by whom, newest first; for admins."""
        return self._pages(AuditSchema, "/v1/audit", actor=actor, kind=kind, subject=subject)

    def is_ready(self) -> bool:
        """Return whether the service says it can serve. Raises ServiceUnavailable if it cannot."""
        call = Call(method="GET", path="/readyz", timeout_seconds=5.0)
        return self._transport.send(call, retry=transport.ONCE).is_success

    def _suffix(self, artifact: str) -> str:
        with self._transport.stream(f"/v1/artifacts/{artifact}") as answer:
            named = answer.headers.get("Content-Disposition", "")
        suffix = Path(named.rpartition("filename=")[2].strip('"; ')).suffix.lstrip(".")
        return suffix if suffix.isalnum() else "bin"

    def _get(self, schema: type[Schema], path: str) -> Schema:
        return self._ask(schema, Call(method="GET", path=path))

    def _ask(self, schema: type[Schema], call: Call) -> Schema:
        return schema.model_validate_json(self._transport.send(call).content)

    def _pages(self, schema: type[Schema], path: str, **filters: Any) -> Iterator[Schema]:
        params = {key: value for key, value in filters.items() if value is not None}
        cursor: dict[str, str] = {}
        fetch = partial(Call, method="GET", path=path)
        while True:
            answer = self._transport.send(fetch(params={"limit": 100, **params, **cursor}))
            page = Page[schema].model_validate_json(answer.content)
            yield from page.items
            if page.next_cursor is None:
                return
            cursor = {"cursor": page.next_cursor}


def _document(given: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    return given.model_dump(mode="json") if isinstance(given, BaseModel) else dict(given)
