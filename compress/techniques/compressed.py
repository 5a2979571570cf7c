"""A network on its way from a candidate to a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from compress.network.network import Network
from compress.techniques.description.config import StepConfig

_Step = TypeVar("_Step", bound=StepConfig)


@dataclass(frozen=True, kw_only=True)
class CompressedModel:
    """A network on its way to a file, with the steps that were applied to it.

    ``steps`` are the configs of the techniques that had an effect, in the order in which they were
    applied; recovery and export find there what is left for them to do. Patterns in them refer to
    layers by their names at that step. ``learning_rate`` is what its recovery trains with, None
    until it begins. ``kept_words`` are those of ``Artifact``.
    """

    network: Network
    steps: tuple[StepConfig, ...] = ()
    notes: tuple[str, ...] = ()
    epochs: int = 0
    train_images_per_second: float | None = None
    learning_rate: float | None = None
    kept_words: tuple[int, ...] | int | None = None

    def step(self, config: type[_Step]) -> _Step | None:
        """Return the step with a config of this type; None if that technique had no effect."""
        return next((step for step in self.steps if isinstance(step, config)), None)

    def after(self, step: StepConfig, **changes: object) -> CompressedModel:
        """Return a copy after one more step, with some fields changed."""
        return replace(self, steps=(*self.steps, step), **changes)

    def evolve(self, **changes: object) -> CompressedModel:
        """Return a copy with some fields changed."""
        return replace(self, **changes)
