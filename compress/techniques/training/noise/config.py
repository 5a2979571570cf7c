"""Config of ``noise``: what training adds that a file never meets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compress.techniques.description.config import StepConfig
from compress.values.knobs import Choice, Searchable


class NoiseInTraining(StepConfig, frozen=True, extra="forbid"):
    """The noise of every recovery step."""

    technique: Literal["noise"] = "noise"
    word_dropout: Annotated[float, Searchable(default=Choice(choices=(0.0, 0.1, 0.3)))] = Field(
        default=0.1, ge=0.0, lt=1.0, description="Share of ids that become the unknown word."
    )
    embedding_noise: Annotated[float, Searchable(default=Choice(choices=(0.0, 0.5)))] = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Deviation of noise on rows of tables, in deviations of the table.",
    )

    @property
    def has_effect(self) -> bool:
        """Whether there is any noise; without, a recovery has what its job says."""
        return self.word_dropout > 0 or self.embedding_noise > 0

    @property
    def words(self) -> str:
        """The step in a few words."""
        shaken = f" + {self.embedding_noise:g} on embeddings" if self.embedding_noise else ""
        return f"{self.word_dropout:.0%} of words unknown{shaken}"
