"""The settings of a training that learns from a teacher. Torch-free."""

from __future__ import annotations

from typing import Literal, Protocol

LogitsLoss = Literal["kl", "standardised", "decoupled", "js", "mse", "reverse_kl"]
LOSSES_OF_ALL: tuple[LogitsLoss, ...] = ("kl", "reverse_kl", "mse")
"""Those that every task has, whatever its outputs mean."""
Features = Literal["none", "hints", "attention", "relational"]
Teacher = Literal["baseline", "self", "uploaded"]


class Teaching(Protocol):
    """Who teaches, what is compared, and how much it counts: as ``distillation`` configures it."""

    @property
    def temperature(self) -> float:
        """The temperature T that softens both distributions."""
        ...

    @property
    def weight(self) -> float:
        """The share of the soft loss, 0 to 1; the labels get the rest."""
        ...

    @property
    def loss(self) -> LogitsLoss:
        """The distance between the student's logits and the teacher's."""
        ...

    @property
    def alpha(self) -> float:
        """The weight of the target class in the decoupled loss."""
        ...

    @property
    def beta(self) -> float:
        """The weight of the other classes in the decoupled loss."""
        ...

    @property
    def features(self) -> Features:
        """The comparison of the stages' feature maps, in addition to the logits."""
        ...

    @property
    def feature_weight(self) -> float:
        """The weight of the feature loss."""
        ...

    @property
    def teacher(self) -> Teacher:
        """The teacher: the baseline, the student's running average, or an uploaded model."""
        ...

    @property
    def has_effect(self) -> bool:
        """Whether the settings could change a network at all."""
        ...

    @property
    def compares_features(self) -> bool:
        """Whether the teacher's feature maps are needed in every step."""
        ...

    @property
    def is_online(self) -> bool:
        """Whether the teacher has to run in every step."""
        ...
