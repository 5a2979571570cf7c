"""How one type of layer holds its weights: the base of all views.

Legend: B images, N columns, O output channels, I everything else of a weight, S groups of a
convolution, K = weights of an output channel, C channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn


class WeightView(ABC):
    """How one type of layer holds its weights.

    Attributes:
        kind: The type; what derives from it has the same view.
        channel_axis: The axis of channels in inputs and outputs.
        is_affine: Whether its output is the product with the weight and a bias, channel by channel.
        reads_channels: Whether its input holds the channels that its weight has along axis 1.
        sets_stage: Whether the resolution of its output says which stage the layer belongs to.
    """

    kind: type[nn.Module]
    channel_axis: int
    is_affine: bool = True
    reads_channels: bool = True
    sets_stage: bool = True

    def is_plain(self, part: nn.Module) -> bool:
        """Whether the layer computes what its type does, and not something of its own."""
        return type(part).forward is self.kind.forward

    def matrix(self, weight: Tensor) -> Tensor:
        """Return a weight as its ``(O, I)`` matrix."""
        return weight.flatten(1)

    def rows(self, x: Tensor) -> Tensor:
        """Return inputs or outputs as ``(N, C)``: channels last, everything else first."""
        return x.movedim(self.channel_axis, -1).flatten(0, -2)

    def inputs(self, part: Any, x: Any) -> Tensor:
        """Return the channels that a layer has read, ``(N, C)``, those of all groups."""
        return self.rows(x)

    @abstractmethod
    def is_normalised(self, part: Any, output: Tensor) -> bool:
        """Return whether a BatchNorm would find the layer's output channels at axis 1."""

    @abstractmethod
    def groups(self, part: Any) -> int:
        """Return the number of groups, each of which reads channels of its own."""

    @abstractmethod
    def sizes(self, part: Any) -> tuple[int, int]:
        """Return the numbers of input and output channels."""

    @abstractmethod
    def resize_(self, part: Any, *, inputs: int, outputs: int, groups: int) -> None:
        """Tell the layer its channels and groups after its weight has changed."""

    @abstractmethod
    def positions(self, part: Any, x: Any, output: Any) -> int:
        """Return how often this run applies the weight, over all of its images and axes.

        Those of one image are asked with a batch of one: which axis holds the batch inside of a
        network is the network's own business, first, second, or merged with another one.
        """

    def resolution(self, output: Any) -> int:
        """Return the pixels, or the length, of what a layer puts out: it tells stages apart."""
        return 0

    @abstractmethod
    def columns(self, part: Any, x: Any, *, most: int | None = None) -> Tensor:
        """Return the inputs of every output position, ``(S, N, K)``, in the weight's order.

        ``x`` is what the layer was given; a tuple if that was several tensors.

        With ``most``, at most that many positions at equal distances, and only these are copied.
        """

    def moments(self, part: Any, x: Any, *, most: int) -> tuple[Tensor, int]:
        """Return the sum of ``x x^T`` over ``most`` columns, ``(S, K, K)``, and their number.

        ``(S, K)`` is the diagonal, where the rest is zero whatever the input.
        """
        x_SNK = self.columns(part, x, most=most)
        return x_SNK.mT @ x_SNK, x_SNK.shape[1]

    def run_length(self, part: Any) -> int:
        """Return a number of inputs that may be grouped: all those along axis 1 of the weight."""
        return int(part.weight.shape[1])

    @abstractmethod
    def mean_squares(self, part: Any, x: Any) -> Tensor:
        """Return the mean square of each input over images and positions, zeros of padding too.

        The shape is that of the weight with one output channel per group.
        """


def taken(number: int, most: int | None, device: torch.device) -> Tensor:
    """Return the places of all of a number of things, or of ``most`` at equal distances."""
    if most is None or number <= most:
        return torch.arange(number, device=device)
    return torch.linspace(0, number - 1, most, device=device).long()
