"""The manifest beside a file: its making, its input and its measurement. Torch-free."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from compress.network.preprocessing import Normalisation
from compress.network.signature import ExampleShape, Layout, PortType, Signature
from compress.network.sources.source import FamilySource, NetworkSource
from compress.tasks.formats.words import MAX_WORDS
from compress.techniques.candidate import Candidate
from compress.values.measurement import Measurement
from compress.values.schedule import FIRST, Augmented, RecordedSchedule

FORMAT_VERSION = 2
Sha256 = Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]{64}$")]


class Input(BaseModel, frozen=True, extra="forbid"):
    """What the file takes: raw values, any number of examples at a time."""

    name: str = Field(
        default="input", min_length=1, description="That of the uploaded file, if one was."
    )
    dtype: PortType = "float32"
    layout: Layout | None = Field(
        default="NCHW",
        description="Order of the axes: N images, channels, height and width; none: examples that "
        "are no images have the axes of shape, in its order.",
    )
    shape: ExampleShape = Field(
        description="Of one example; of an image channels, height and width."
    )
    values: Literal["raw"] = Field(
        default="raw", description="As in the dataset: normalisation is part of the file."
    )
    normalisation: Normalisation = Field(description="For information: already in the file.")


class Origin(BaseModel, frozen=True, extra="forbid"):
    """Where a file comes from: enough to make it again."""

    job: str = Field(min_length=1)
    trial: int = Field(ge=0, description="Number of the trial within its job.")
    rung: int = Field(ge=0)
    epochs: int = Field(ge=0, description="Epochs of recovery so far.")
    seed: int = Field(ge=0)
    recovery: RecordedSchedule = Field(
        default=FIRST,
        description="How a recovery trains in the job; a supernet trains in its own way.",
    )
    augmented: Augmented | None = Field(
        default=None,
        description="How training images were varied, with auto decided; none: an older file.",
    )
    data_sha256: Sha256
    weights_sha256: Sha256 | None = Field(
        default=None, description="Of the uploaded file; none if the baseline was trained here."
    )
    tutor_sha256: Sha256 | None = Field(
        default=None, description="Of the weights of the uploaded teacher; none if none taught."
    )
    supernet_sha256: Sha256 | None = Field(
        default=None, description="Of the shared weights; none if the candidate has its own."
    )


class Manifest(BaseModel, frozen=True, extra="forbid"):
    """Everything there is to know about one file."""

    format_version: Literal[2] = FORMAT_VERSION
    candidate: Candidate
    candidate_digest: Sha256
    architecture: NetworkSource = Field(description="Of the baseline the candidate starts from.")
    student: FamilySource | None = Field(
        default=None, description="The largest network of which it is a member; none: the baseline."
    )
    origin: Origin
    input: Input
    ports: Signature | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="All inputs and outputs, if it has several of either, or an output of other "
        "axes than (N, K); input is then the first, and its shape that of a whole example.",
    )
    num_classes: int = Field(
        ge=1, description="Numbers along the last axis of its answer; of several outputs all."
    )
    class_names: tuple[Annotated[str, Field(max_length=100)], ...] = Field(
        default=(),
        max_length=10_000,
        description="In the order of the answers; none: the dataset has none, they are too long "
        "for a file, or it is an older one.",
    )
    kept_words: int | Annotated[tuple[int, ...], Field(max_length=MAX_WORDS)] | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="Ids of the words that the file still tells apart from the unknown one: the "
        "first so many, or these; none: all of the dataset, or it has none.",
    )
    measurement: Measurement = Field(
        description="Of this file, in the form of its target: target and runtimes say which."
    )
    file_sha256: Sha256
    file_bytes: int = Field(gt=0)
    versions: dict[str, str] = Field(description="Of Python and the packages that made the file.")

    @model_validator(mode="before")
    @classmethod
    def _upgraded(cls, document: Any) -> Any:
        if not isinstance(document, dict) or not isinstance(document.get("candidate"), dict):
            return document
        candidate = Candidate.of_record(document["candidate"])
        if document.get("format_version") == 1:
            return _from_version_1(document, candidate)
        return document | {"candidate": candidate}

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if self.candidate_digest != self.candidate.digest():
            raise ValueError(
                f"candidate_digest must be {self.candidate.digest()}, got {self.candidate_digest}"
            )
        if self.file_bytes != self.measurement.size_bytes:
            raise ValueError(
                f"file_bytes and the measured size differ: {self.file_bytes} and "
                f"{self.measurement.size_bytes}"
            )
        return self


def dump(manifest: Manifest) -> str:
    """Return the manifest as JSON for people and programs; ``load`` reads it back unchanged.

    Settings at their defaults are written out too.
    """
    return manifest.model_dump_json(indent=2) + "\n"


def load(text: str) -> Manifest:
    """Read a manifest of this format or an older one, upgraded; what it lacks is None.

    Raises pydantic's ValidationError for anything else.
    """
    return Manifest.model_validate_json(text)


def _from_version_1(document: dict[str, Any], candidate: Candidate) -> dict[str, Any]:
    """Return the document in the present format.

    Digests of version 1 were of every field, those at their defaults included.
    """
    written = zip(document["candidate"].get("steps", ()), candidate.configs, strict=True)
    counted = {"steps": [fields for fields, step in written if step.has_effect]}
    text = json.dumps(counted, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    if document.get("candidate_digest") != digest:
        raise ValueError(
            f"candidate_digest must be {digest}, got {document.get('candidate_digest')}"
        )
    return document | {
        "format_version": FORMAT_VERSION,
        "candidate": candidate,
        "candidate_digest": candidate.digest(),
    }
