"""How the outputs of two networks are compared: what distance of them means for the task.

Every distance is a Kullback-Leibler divergence in nats, a mean over examples, between what the
outputs say: a distribution over classes, one for every label, or a normal one around a number.

Legend: B examples, R rows that are compared one by one, K outputs of a row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_LEAST_VARIANCE = 1e-12


class Answers(ABC):
    """What the outputs of a network mean."""

    are_classes: bool = False
    """Whether they are ``(B, K)`` logits of exclusive classes, which every loss of distillation
    can compare."""
    are_logits: bool = True
    """Whether what counts is which of the outputs of a row is the largest, or which are above 0."""

    def rows(self, outputs: NDArray[Any]) -> Sequence[NDArray[Any]]:
        """Return outputs as rows ``(R, K)`` that belong together: one array for each output."""
        return [outputs.reshape(-1, outputs.shape[-1])]

    @abstractmethod
    def divergence(self, own: Tensor, other: Tensor, *, temperature: float = 1.0) -> Tensor:
        """Return ``T^2`` times the mean divergence of other outputs from one's own, in nats.

        Both are softened by ``temperature`` if they are logits.
        """

    def squared_error(self, own: Tensor, other: Tensor) -> Tensor:
        """Return half of the mean squared error of the outputs."""
        return functional.mse_loss(other, own) / 2


@dataclass(frozen=True)
class Classes(Answers):
    """Logits of exclusive classes along the last axis, one row for each example."""

    are_classes = True

    def divergence(self, own: Tensor, other: Tensor, *, temperature: float = 1.0) -> Tensor:
        """Return ``T^2 KL(p || q)`` of the softmaxes at ``temperature``."""
        log_p, log_q = (functional.log_softmax(x / temperature, dim=-1) for x in (own, other))
        return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(dim=-1).mean()


CLASSES = Classes()
"""What outputs mean unless a task says otherwise."""


@dataclass(frozen=True)
class Tags(Answers):
    """Logits ``(B, L, K)`` of a tag for every token; ``outside`` is the tag of most of them.

    Tokens count by how surely the own network says that they are not outside: a plain mean over
    tokens teaches a student to find nothing, for nearly all tokens are outside.
    """

    outside: int | None = 0
    least: float = 0.05

    def divergence(self, own: Tensor, other: Tensor, *, temperature: float = 1.0) -> Tensor:
        """Return the weighted mean of ``T^2 KL(p || q)`` over tokens."""
        log_p, log_q = (functional.log_softmax(x / temperature, dim=-1) for x in (own, other))
        each = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
        if self.outside is None:
            return temperature**2 * each.mean()
        inside = 1 - functional.softmax(own, dim=-1)[..., self.outside]
        weight = inside.clamp_min(self.least)
        return temperature**2 * (weight * each).sum() / weight.sum()


@dataclass(frozen=True)
class IndependentLabels(Answers):
    """Logits of labels that hold or not, each by itself."""

    def divergence(self, own: Tensor, other: Tensor, *, temperature: float = 1.0) -> Tensor:
        """Return ``T^2`` times the sum over labels of the divergence of their chances."""
        own, other = own / temperature, other / temperature
        yes, no = functional.logsigmoid(own), functional.logsigmoid(-own)
        each = yes.exp() * (yes - functional.logsigmoid(other))
        each = each + no.exp() * (no - functional.logsigmoid(-other))
        return temperature**2 * each.sum(dim=-1).mean()


@dataclass(frozen=True)
class Numbers(Answers):
    """Numbers with a normal error of the size of ``deviation``, one for each output.

    None: the deviation of the own outputs over examples.
    """

    are_logits = False
    deviation: tuple[float, ...] | None = None

    def divergence(self, own: Tensor, other: Tensor, *, temperature: float = 1.0) -> Tensor:
        """Return the mean of ``(a - b)^2 / (2 var)`` over outputs and examples."""
        own_BK, other_BK = own.flatten(1), other.flatten(1)
        return ((own_BK - other_BK).square() / (2 * self.variance(own_BK))).mean()

    def squared_error(self, own: Tensor, other: Tensor) -> Tensor:
        """Return the divergence: outputs in units of their own deviation."""
        return self.divergence(own, other)

    def variance(self, own_BK: Tensor) -> Tensor:
        """Return the variance that errors are measured by, for each output or for all alike."""
        if self.deviation is not None:
            return torch.tensor(self.deviation, dtype=own_BK.dtype, device=own_BK.device).square()
        spread_K = own_BK.var(dim=0, correction=0)
        return spread_K.mean().clamp_min(_LEAST_VARIANCE)
