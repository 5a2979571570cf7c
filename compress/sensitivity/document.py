"""The document of a sensitivity analysis: what a network can lose, and where. Torch-free.

Every damage is the mean Kullback-Leibler divergence, in nats, of the probed network's answers from
the network's own on the probe images (``compress.sensitivity.probes``). Documents arrive over HTTP,
so everything in them is bounded and finite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from compress.values.revision import FIRST_REVISION

FORMAT_VERSION = 2
MOST_DAMAGE = 1e6
"""A divergence is at most this, in nats; more tells nothing more."""
MOST_PARTS = 500
"""Layers, and groups; with their points a document stays below the service's limit of a body."""
_MOST_POINTS = 8
_MOST_STAGES = 64
Sha256 = Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]{64}$")]
Part = Annotated[str, Field(min_length=1, max_length=200)]
Damage = Annotated[float, Field(ge=0, le=MOST_DAMAGE, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=2**53)]
Stage = Annotated[int, Field(ge=0, lt=_MOST_STAGES)]


class BitsPoint(BaseModel, frozen=True, extra="forbid"):
    """A layer alone with weights of so many bits; ``accuracy`` is on the probe images, 0 to 1.

    ``coded`` is what a weight takes in a file, in bits: the entropy of the layer's integers. A
    document of version 1 does not say.
    """

    bits: int = Field(ge=1, le=8)
    damage: Damage
    accuracy: Share
    coded: float | None = Field(default=None, ge=0, le=8, allow_inf_nan=False)


class RatioPoint(BaseModel, frozen=True, extra="forbid"):
    """A part of the network alone without this share of its channels; ``accuracy`` is 0 to 1."""

    ratio: float = Field(gt=0, le=0.95, allow_inf_nan=False)
    damage: Damage
    accuracy: Share


RatioPoints = Annotated[tuple[RatioPoint, ...], Field(max_length=_MOST_POINTS)]


class LayerProfile(BaseModel, frozen=True, extra="forbid"):
    """A weighted layer: what it costs and what few bits do to it.

    ``writes`` and ``reads`` are the stages that decide how many outputs and inputs it has; None
    where these never leave. ``macs`` are those of one image; a table of words has none.
    """

    name: Part
    weights: Count
    outputs: Count
    macs: Annotated[int, Field(ge=0, le=2**53)]
    writes: Stage | None
    reads: Stage | None
    points: tuple[BitsPoint, ...] = Field(max_length=8)

    @model_validator(mode="after")
    def _in_order(self) -> LayerProfile:
        _check_order([point.bits for point in self.points], f"bits of {self.name!r}")
        return self


class StageProfile(BaseModel, frozen=True, extra="forbid"):
    """All groups of a stage losing the same share of channels, as pruning by stage asks for it."""

    stage: Stage
    points: RatioPoints

    @model_validator(mode="after")
    def _in_order(self) -> StageProfile:
        _check_order([point.ratio for point in self.points], f"ratios of stage {self.stage}")
        return self


class GroupProfile(BaseModel, frozen=True, extra="forbid"):
    """Channels that can only leave together; ``root`` is the first layer that makes them."""

    root: Part
    stage: Stage
    channels: Count
    points: RatioPoints

    @model_validator(mode="after")
    def _in_order(self) -> GroupProfile:
        _check_order([point.ratio for point in self.points], f"ratios of {self.root!r}")
        return self


class ProfileDocument(BaseModel, frozen=True, extra="forbid"):
    """All probes of one network on one dataset.

    ``layers`` are in the order in which the network runs them. ``probes`` of ``planned`` ones were
    made before ``allowed_seconds`` (None: no cap) were over; what is missing was not measured.
    """

    version: Literal[1, 2] = FORMAT_VERSION
    weights_sha256: Sha256
    data_sha256: Sha256
    images: int = Field(ge=1, le=2**31, description="Training images that every probe answers.")
    accuracy: float = Field(ge=0, le=1, description="The network's own on the probe images.")
    seconds: float = Field(ge=0, le=1e9, allow_inf_nan=False)
    allowed_seconds: float | None = Field(ge=0, le=1e9, allow_inf_nan=False)
    probes: int = Field(ge=0, le=10**6)
    planned: int = Field(ge=0, le=10**6)
    layers: tuple[LayerProfile, ...] = Field(max_length=MOST_PARTS)
    stages: tuple[StageProfile, ...] = Field(max_length=_MOST_STAGES)
    groups: tuple[GroupProfile, ...] = Field(max_length=MOST_PARTS)
    engine_revision: int = Field(
        default=FIRST_REVISION, ge=FIRST_REVISION, le=2**31 - 1, description="Of the prober."
    )

    @model_validator(mode="after")
    def _named_once(self) -> ProfileDocument:
        for what, names in (
            ("layer", [layer.name for layer in self.layers]),
            ("stage", [stage.stage for stage in self.stages]),
            ("group", [group.root for group in self.groups]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"every {what} may stand in a profile once")
        if self.probes > self.planned:
            raise ValueError(f"{self.probes} probes are more than the {self.planned} planned")
        return self

    @property
    def is_complete(self) -> bool:
        """Whether no probe was cut off by the cap."""
        return self.probes == self.planned

    def text(self) -> str:
        """The document as the file that ``digest`` is the digest of."""
        return self.model_dump_json()

    def digest(self) -> str:
        """SHA-256 (hex) of ``text``."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def _check_order(values: Sequence[float], what: str) -> None:
    if list(values) != sorted(set(values)):
        raise ValueError(f"{what} must increase, got {list(values)}")
