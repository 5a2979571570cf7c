"""What a training is told of its teacher. Torch-free."""

from __future__ import annotations

from typing import Literal, Protocol

LogitsLoss = Literal["kl", "standardised", "decoupled", "js", "mse", "reverse_kl"]
Features = Literal["none", "hints", "attention", "relational"]
Teacher = Literal["baseline", "self", "uploaded"]


class Teaching(Protocol):
    """Who teaches, what is compared, and how much it counts: the config of ``distillation``."""

    @property
    def temperature(self) -> float:
        """Softening of both distributions, T."""
        ...

    @property
    def weight(self) -> float:
        """Share of the soft loss; the labels get the rest."""
        ...

    @property
    def loss(self) -> LogitsLoss:
        """How far the student's logits are from the teacher's."""
        ...

    @property
    def alpha(self) -> float:
        """Weight of the target class in the decoupled loss."""
        ...

    @property
    def beta(self) -> float:
        """Weight of the other classes in the decoupled loss."""
        ...

    @property
    def features(self) -> Features:
        """What of the stages' outputs is compared besides the logits."""
        ...

    @property
    def feature_weight(self) -> float:
        """Weight of the feature loss."""
        ...

    @property
    def teacher(self) -> Teacher:
        """The baseline, the student's own running average, or an uploaded model."""
        ...

    @property
    def has_effect(self) -> bool:
        """Whether it could change a network at all."""
        ...

    @property
    def compares_features(self) -> bool:
        """Whether the teacher's feature maps are needed in every step."""
        ...

    @property
    def is_online(self) -> bool:
        """Whether the teacher has to run in every step."""
        ...
