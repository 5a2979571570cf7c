"""Config of ``adjusted_loss``: how the loss of the labels differs from plain cross-entropy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compress.techniques.description.config import StepConfig
from compress.values.knobs import Choice, Searchable
from compress.values.schedule import LossSettings


class AdjustedLoss(StepConfig, frozen=True, extra="forbid"):
    """The loss of the labels in every recovery step."""

    technique: Literal["adjusted_loss"] = "adjusted_loss"
    margin: Annotated[float, Searchable(default=Choice(choices=(0.0, 0.5, 1.0)))] = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="By how much the right logit must exceed what it would need without.",
    )
    temperature: Annotated[float, Searchable(default=Choice(choices=(1.0, 2.0)))] = Field(
        default=1.0, ge=0.1, le=10.0, description="Logits are divided by it inside of the loss."
    )
    class_weight: Annotated[float, Searchable(default=Choice(choices=(0.0, 0.5, 1.0)))] = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Classes count by the power of how rare they are: 0 all alike, 1 as if all "
        "were equally frequent.",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="Share of a label that all classes get."
    )

    @property
    def settings(self) -> LossSettings:
        """The loss as tasks take it."""
        return LossSettings(
            margin=self.margin,
            temperature=self.temperature,
            class_weight=self.class_weight,
            label_smoothing=self.label_smoothing,
        )

    @property
    def has_effect(self) -> bool:
        """Whether the loss is any other than plain cross-entropy."""
        return not self.settings.is_plain

    @property
    def words(self) -> str:
        """The step in a few words: what is not as usual."""
        usual = LossSettings()
        said = [
            f"{name.replace('_', ' ')} {value:g}"
            for name, value in vars(self.settings).items()
            if value != getattr(usual, name)
        ]
        return f"loss with {', '.join(said) or 'nothing else'}"
