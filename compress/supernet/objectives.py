"""What members with shared weights learn from: the largest of them, or labels on random paths.

Legend: B images of a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from compress.network.families.catalog import Architecture
from compress.network.families.network import FamilyNetwork
from compress.network.supernet.draw import Draw
from compress.network.supernet.execution import SharedMember
from compress.tasks.task import Batch, Task, View
from compress.training.distillation.loss import kl
from compress.training.inference import Preparation
from compress.training.objectives import Labels
from compress.training.precision import Precision

_RANDOM_MEMBERS = 2


class Sandwich(Labels):
    """The largest member learns the labels; the smallest and two random ones learn its answers.

    The sandwich rule and in-place distillation of Yu and Huang, arXiv:1903.05134, sections 3.1 and
    3.2. The answers of the largest are detached: it does not bend towards the smaller ones.
    """

    def __init__(
        self,
        whole: FamilyNetwork,
        draw: Draw,
        prepare: Preparation,
        precision: Precision,
        *,
        task: Task,
    ) -> None:
        super().__init__(task)
        self._whole = whole
        self._draw = draw
        self._prepare = prepare
        self._precision: Precision = precision

    def view(self, epoch: int, draw: Callable[[], View | None]) -> View | None:
        """Draw a fresh view and fresh members in every epoch."""
        self._draw.begin(epoch)
        return draw()

    def loss(self, logits_BK: Tensor, batch: Batch) -> Tensor:
        """Return the loss of the largest plus the divergences of the others from it."""
        x_BCHW = self._prepare(batch.x_BCHW, batch.view)
        loss = self.task.loss(logits_BK, batch)
        for member in self._members():
            bf16 = self._precision == "bf16"
            with torch.autocast(x_BCHW.device.type, torch.bfloat16, enabled=bf16):
                answers_BK = SharedMember(self._whole, member)(x_BCHW)
            loss = loss + kl(answers_BK.float(), logits_BK.detach(), temperature=1.0)
        return loss

    def _members(self) -> list[Architecture]:
        """Return the members of this step, each once and without the largest."""
        drawn = [self._draw.smallest, *(self._draw.next() for _ in range(_RANDOM_MEMBERS))]
        largest = self._whole.architecture
        return [member for member in dict.fromkeys(drawn) if member != largest]


class Paths(Labels):
    """Learns from labels; the network is another random member in every step."""

    def __init__(self, draw: Draw, *, task: Task) -> None:
        super().__init__(task)
        self._draw = draw

    def view(self, epoch: int, draw: Callable[[], View | None]) -> View | None:
        """Draw a fresh view and fresh paths in every epoch."""
        self._draw.begin(epoch)
        return draw()


class RandomPath(nn.Module):
    """Runs another member in every forward pass.

    Pham et al., ENAS, arXiv:1802.03268, section 2.1 (shared weights), with the uniform sampling of
    Guo et al., arXiv:1904.00420, section 3.3.
    """

    def __init__(self, whole: FamilyNetwork, draw: Draw) -> None:
        super().__init__()
        self.whole = whole
        self._draw = draw

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits ``(B, K)`` of normalised images."""
        return SharedMember(self.whole, self._draw.next())(x_BCHW)
