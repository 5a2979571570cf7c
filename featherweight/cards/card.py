"""The model card of a file: what it is, takes, answers and was measured to do. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from compress.network.preprocessing import Normalisation
from compress.network.signature import ExampleShape, Layout
from compress.tasks.formats.words import TextSettings
from compress.techniques.candidate import Candidate
from compress.values.latency.latency import Latency
from compress.values.measurement import Split
from featherweight.specs.manifest import Origin, Sha256
from featherweight.specs.objective import QualitySchema

FORMAT_VERSION = 1


class CardFile(BaseModel, frozen=True, extra="forbid"):
    """The bytes that the card is about."""

    name: str
    sha256: Sha256
    size_bytes: int
    opset: int
    ir_version: int
    measured_sha256: Sha256 = Field(
        description="Of the file that was measured: this one, or the one that it was made of."
    )
    download_bytes: int | None = Field(
        default=None,
        description="Bytes of the measured file compressed with zstd at level 19; None: not "
        "measured, or a form of another target.",
    )


class CardRuntime(BaseModel, frozen=True, extra="forbid"):
    """A runtime that the file is for, and whether this very file ran in it."""

    name: str
    oldest: str = Field(description="Oldest version that the form was tried in.")
    newest: str
    ran: str | None = Field(
        default=None, description="Version in which this file ran; None: not run here."
    )
    proof: str


class CardTarget(BaseModel, frozen=True, extra="forbid"):
    """Where the file is made to run."""

    name: str
    description: str
    runtimes: tuple[CardRuntime, ...]
    unproven: str = Field(
        default="", description="Not empty: no such file was ever run in what it is for."
    )


class CardInput(BaseModel, frozen=True, extra="forbid"):
    """What goes in: raw values, normalisation being part of the file."""

    name: str
    dtype: str
    layout: Layout | None = Field(description="None: the examples are no images.")
    axes: tuple[int | str, ...] = Field(description="As the file says them; words are any size.")
    shape: ExampleShape = Field(
        description="Of one example; of an image channels, height and width."
    )
    value_range: tuple[float, float] = Field(description="Least and largest value of the dataset.")
    normalisation_inside: Literal[True] = True
    normalisation: Normalisation = Field(
        description="(x * scale - mean) / std, which the file itself computes; do not repeat it."
    )


class CardText(BaseModel, frozen=True, extra="forbid"):
    """How a text becomes what goes in; its files stand beside the network."""

    settings: TextSettings
    vocabulary: tuple[int, ...] = Field(description="Ids of the words, and of their parts.")
    kept_words: int | None = Field(
        default=None, description="Words that the file tells apart; None: all of them."
    )
    package_bytes: int | None = Field(
        default=None, description="Of the measured file with words and settings."
    )


class CardOutput(BaseModel, frozen=True, extra="forbid"):
    """What comes out."""

    name: str
    dtype: str
    axes: tuple[int | str, ...]
    values: Literal["logits", "probabilities"]
    num_classes: int
    class_names: tuple[str, ...] = Field(
        default=(), description="In the order of the answer; empty: the data names none."
    )
    class_names_inside: bool = Field(description="Whether they stand in the file's metadata, too.")


class CardCosts(BaseModel, frozen=True, extra="forbid"):
    """What the measured file costs."""

    parameters: int
    macs: int = Field(description="Multiply-accumulates for one image.")
    latency: Latency
    runtime: str = Field(description="In which latency, load time and memory were measured.")
    latency_of: Literal["this file", "the measured file"]
    load_ms: float | None = None
    peak_memory_bytes: int | None = None


class CardDataset(BaseModel, frozen=True, extra="forbid"):
    """What it was made and measured on."""

    name: str
    sha256: Sha256
    images: dict[Split, int]


class ModelCard(BaseModel, frozen=True, extra="forbid"):
    """All that somebody needs who runs a file or answers for it.

    Accuracies are those of the measured file, with Wilson's 95 % intervals.
    """

    format_version: Literal[1] = FORMAT_VERSION
    job: str
    job_name: str
    network: str = Field(description="The network that was compressed, in words.")
    description: str = Field(description="What was done to it, in words.")
    candidate: Candidate
    candidate_digest: Sha256
    file: CardFile
    target: CardTarget
    input: CardInput
    text: CardText | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="None: the file takes no texts, or ids of which nothing is known.",
    )
    output: CardOutput
    quality: dict[Split, QualitySchema]
    accuracy: dict[Split, QualitySchema] = Field(
        default_factory=dict,
        exclude_if=lambda value: not value,
        description="The quality, if that is accuracy.",
    )
    costs: CardCosts
    dataset: CardDataset
    origin: Origin
    licence: str | None = Field(
        default=None,
        description="As the metadata of the uploaded file say it; None: they say none.",
    )
    notes: tuple[str, ...] = ()
    engine_revision: int
    versions: dict[str, str]
