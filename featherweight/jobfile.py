"""Job files: a JobSpec in YAML or JSON, in which data and networks may also be files or samples.

    data: {sample: digits}
    data: {path: my.npz, name: my-data}
    data: {path: my.npz, layout: NCHW, classes: 21}
    data: {path: pictures, size: [64, 64], channels: 3}
    model: {path: mynet.onnx}
    model: {path: weights.safetensors, architecture: {...}, normalisation: {...}, name: my-net}
    teacher: {path: larger.safetensors, architecture: {...}, normalisation: {...}}

Files are searched next to the job file. They are uploaded, and the posted job names the uploads.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError, model_validator

from compress.network.families.catalog import Architecture
from compress.network.preprocessing import Normalisation
from compress.network.signature import ExampleShape
from compress.network.sources.source import Sizes
from compress.tasks.reading import DatasetReading
from featherweight import documents, samples
from featherweight.client import folders
from featherweight.client.client import Client
from featherweight.client.transport import file_digest
from featherweight.errors import Conflict, InvalidJobFile, NotFound, UploadRefused
from featherweight.specs.job import JobSpec
from featherweight.specs.names import Name
from featherweight.specs.schemas import DatasetSchema, ModelSchema
from featherweight.specs.states import ModelState


class SampleData(BaseModel, frozen=True, extra="forbid"):
    """A dataset that comes with an installed package."""

    sample: str


class FileData(DatasetReading, frozen=True, extra="forbid"):
    """A dataset's file or folder next to the job file, and how it is read."""

    path: Path
    tokenizer: Path | None = None
    name: Name | None = None

    @property
    def reading(self) -> DatasetReading:
        """How the file is read."""
        return DatasetReading(**self.model_dump(include=set(DatasetReading.model_fields)))


class FileModel(BaseModel, frozen=True, extra="forbid"):
    """A network's file next to the job file: ONNX, or safetensors weights of an architecture."""

    path: Path
    architecture: Architecture | None = None
    normalisation: Normalisation | None = None
    input_shape: Sizes | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> FileModel:
        if self.architecture is not None and self.normalisation is None:
            raise ValueError("weights of an architecture need their normalisation, too")
        if self.architecture is None and self.path.suffix.lower() == ".safetensors":
            raise ValueError(
                f"{self.path} holds weights without a network: name their architecture and "
                "normalisation, or give an ONNX file"
            )
        return self


_NETWORKS = TypeAdapter(dict[str, FileModel])


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """A job file, read and checked as far as possible without a service."""

    spec: JobSpec
    data: SampleData | FileData | None
    networks: Mapping[str, FileModel]
    folder: Path

    def resolve(self, client: Client, *, undo: ExitStack | None = None) -> JobSpec:
        """Upload what the service does not have yet, and return the spec.

        It waits until uploaded networks are inspected. When ``undo`` is closed, what was new to
        the service is deleted again, unless a job refers to it by then. Raises UploadRefused, and
        ApiError.
        """
        undo = undo or ExitStack()  # one that nobody closes does nothing
        changes: dict[str, Any] = {}
        if isinstance(self.data, SampleData):
            changes["data"] = _sample(client, self.data.sample, undo)
        elif self.data is not None:
            given = self.data.tokenizer
            tokenizer = None if given is None else _existing(self.folder / given)
            file = _existing_data(self.folder / self.data.path)
            with folders.as_file(file, tokenizer=tokenizer) as path:
                name = self.data.name or named_for(path)
                changes["data"] = _dataset(client, path, name, self.data.reading, undo)
        for field, network in self.networks.items():
            changes[field] = self._network(client, network, undo)
        return self.spec.model_copy(update=changes)

    def _network(self, client: Client, network: FileModel, undo: ExitStack) -> str:
        path = _existing(self.folder / network.path)
        name = network.name or named_for(path)
        return uploaded_model(
            client,
            path,
            name=name,
            architecture=network.architecture,
            normalisation=network.normalisation,
            input_shape=network.input_shape,
            undo=undo,
        ).name


def uploaded_model(  # noqa: PLR0913 - what may be said of a network
    client: Client,
    path: Path,
    *,
    name: str | None = None,
    architecture: Architecture | None = None,
    normalisation: Normalisation | None = None,
    input_shape: ExampleShape | None = None,
    undo: ExitStack | None = None,
) -> ModelSchema:
    """Upload a network's file and wait until it is ready; without a name it gets one of its own.

    When ``undo`` is closed, it is deleted again if it was new to the service. Raises UploadRefused
    with the reasons, and ApiError.
    """
    name = name or named_for(path)
    is_new = undo is not None and not _has_model(client, name)
    sent = client.upload_model(
        path,
        name=name,
        architecture=architecture,
        normalisation=normalisation,
        input_shape=input_shape,
    )
    if undo is not None and is_new:
        undo.callback(_discard, client.delete_model, sent.id)
    found = client.inspected(sent.id)
    if found.state == ModelState.REFUSED:
        reasons = "\n  ".join(found.reasons)
        raise UploadRefused(f"{path} cannot be used:\n  {reasons}")
    return found


def read(path: Path) -> JobFile:
    """Read a job file. Raises InvalidJobFile that says what is wrong and where."""
    document = _document(path)
    try:
        data = _data(document.get("data"))
        networks = _networks(document)
        # Messages may show these names: what is uploaded gets its own later.
        files = [*networks, *(["data"] if data else [])]
        stand_ins = {field: f"{field}-file" for field in files}
        spec = JobSpec.model_validate(document | stand_ins)
    except ValidationError as error:
        raise InvalidJobFile(f"{path}: {_words(error)}") from error
    except InvalidJobFile as error:
        raise InvalidJobFile(f"{path}: {error}") from error
    job = JobFile(spec=spec, data=data, networks=networks, folder=path.parent)
    for file in networks.values():
        _existing(job.folder / file.path)
    if isinstance(data, FileData):
        _existing_data(job.folder / data.path)
    return job


def _document(path: Path) -> dict[str, Any]:
    document = load(path)
    if not isinstance(document, dict):
        found = type(document).__name__
        raise InvalidJobFile(f"{path}: expected a mapping of a job's fields, got {found}")
    return document


def load(path: Path) -> Any:
    """Return the content of a YAML or JSON file. Raises InvalidJobFile."""
    try:
        text = _content(path).decode("utf-8")
        is_json = path.suffix.lower() == ".json"
        found = documents.read_json(text) if is_json else documents.read_yaml(text)
        documents.check_storable(found)
        return found
    except OSError as error:
        raise InvalidJobFile(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidJobFile(f"{path} cannot be read as YAML or JSON: {error}") from error


def _content(path: Path) -> bytes:
    # By reading, because devices and pipes have no size.
    with path.open("rb") as file:
        content = file.read(documents.MAX_BYTES + 1)
    if len(content) > documents.MAX_BYTES:
        raise InvalidJobFile(f"{path}: such a file has at most {documents.MAX_BYTES} bytes")
    return content


def _data(value: Any) -> SampleData | FileData | None:
    if not isinstance(value, dict):
        return None
    if "sample" not in value:
        return FileData.model_validate(value)
    data = SampleData.model_validate(value)
    if data.sample not in samples.SAMPLES:
        known = list(samples.SAMPLES)
        raise InvalidJobFile(
            f"data.sample: unknown sample {data.sample!r}, expected one of {known}"
        )
    return data


def _networks(document: dict[str, Any]) -> dict[str, FileModel]:
    """Return the fields that name a network by file. Errors name their places."""
    given = {field: document.get(field) for field in ("model", "teacher")}
    files = {f: value for f, value in given.items() if isinstance(value, dict) and "path" in value}
    return _NETWORKS.validate_python(files)


def _existing_data(path: Path) -> Path:
    """Return a file, or a folder of pictures. Raises InvalidJobFile."""
    if not _is(path, Path.is_dir):
        return _existing(path)
    if folders.has_pictures(path):
        return path
    raise InvalidJobFile(f"{path} holds no pictures: {folders.FORM}")


def _existing(path: Path) -> Path:
    if _is(path, Path.is_file):
        return path
    raise InvalidJobFile(f"there is no file {path}")


def _is(path: Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(path)
    except OSError as error:
        raise InvalidJobFile(f"cannot read {str(path)[:200]}: {error.strerror}") from error


def _has_model(client: Client, name: str) -> bool:
    try:
        client.model(name)
    except NotFound:
        return False
    return True


def _discard(delete: Callable[[str], None], reference: str) -> None:
    """Delete it, unless it has gone or somebody has begun to use it."""
    with suppress(Conflict, NotFound):
        delete(reference)


def _sample(client: Client, name: str, undo: ExitStack) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.npz"
        samples.write(name, path)
        return _dataset(client, path, name, DatasetReading(), undo)


def _dataset(
    client: Client, path: Path, name: str, reading: DatasetReading, undo: ExitStack
) -> str:
    """Return the name of the dataset with these bytes, uploaded if need be.

    If the name is taken by other bytes, or by the same ones read in another way, it gets a suffix.
    """
    digest = file_digest(path)
    said = "" if reading.is_default else reading.model_dump_json()
    suffix = hashlib.sha256(f"{digest}{said}".encode()).hexdigest() if said else digest
    for candidate in (name, f"{name[:90]}-{suffix[:8]}"):
        try:
            if _is_same(client.dataset(candidate), digest, reading):
                return candidate
        except NotFound:
            sent = client.upload_dataset(path, name=candidate, reading=reading)
            undo.callback(_discard, client.delete_dataset, sent.id)
            return sent.name
    return client.upload_dataset(path, name=name, reading=reading).name


def _is_same(found: DatasetSchema, digest: str, reading: DatasetReading) -> bool:
    origin = found.info.origin
    if origin is None:
        return found.sha256 == digest and reading.is_default
    return origin.sha256 == digest and origin.reading == reading


def named_for(path: Path) -> str:
    """Return a name for what is in a file: the file's, and a part of its digest."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "file"
    return f"{stem[:80]}-{file_digest(path)[:8]}"


def _words(error: ValidationError) -> str:
    lines = [
        f"{'.'.join(str(part) for part in item['loc']) or 'job'}: {item['msg']}"
        for item in error.errors()
    ]
    return "\n  ".join(["not a valid job", *lines])
