"""The values that flow through a trial: a network and its file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from compress.network.member import Shape, WeightsFrom
from compress.network.outline import Outline
from compress.network.preprocessing import Normalisation
from compress.network.signature import ExampleShape, Signature
from compress.values.measurement import FIRST_TARGET, Observer

ShouldStop = Callable[[], bool]
"""Asked between steps of every long operation; True makes it raise ``errors.Stopped``."""


def never() -> bool:
    """Never stop: the ``ShouldStop`` of callers that do not."""
    return False


class OwnModule(nn.Module):
    """A module of this project: it returns logits, and computes the same in any memory format."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A float network on normalised input.

    ``module`` maps normalised ``x_BCHW`` to logits ``(B, num_classes)``; it is never changed in
    place: every step deep-copies it. ``input_shape`` is ``(C, H, W)``. ``ports`` are those of the
    file that the network came from, and of all files that are made of it; None are the usual ones.
    ``optimiser`` is what trains it: networks that look words up need "adam".
    """

    module: nn.Module
    normalisation: Normalisation
    input_shape: ExampleShape
    num_classes: int
    ports: Signature | None = None
    optimiser: Literal["sgd", "adam"] = "sgd"

    @property
    def signature(self) -> Signature:
        """What its files take and what they return."""
        return self.ports or Signature.of_examples(self.input_shape, num_classes=self.num_classes)

    def blank(self, *, device: torch.device | None = None) -> Tensor:
        """Return one image of zeros ``(1, C, H, W)``, to see how the network runs."""
        return torch.zeros(1, *self.input_shape, device=device)


class Members(Protocol):
    """Makes members of the family that a network belongs to."""

    def student(self, network: Network) -> Outline | None:
        """Outline the network whose members are made; return None if that is ``network``."""
        ...

    def member(
        self,
        network: Network,
        shape: Shape,
        *,
        weights: WeightsFrom,
        supernet: Network | None,
        seed: int,
    ) -> Network:
        """Make the member of that shape; return ``network`` itself if it is all of it.

        ``supernet`` is the network to slice if ``weights`` say so, ``seed`` that of fresh weights.
        Raises InvalidCandidate for a network of no family, for a missing supernet, and for a
        member that answers alike whatever the image.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A written ONNX file that has passed the parity gate.

    ``signature`` says how it takes images and answers; None is the usual way. ``target`` names the
    form that it has, and ``runtimes`` the oldest versions that it is for: "onnxruntime >= 1.15".
    ``kept_words`` are the ids of words that it still tells apart from the unknown one: all (None),
    the first so many, or these.
    """

    path: Path
    sha256: str
    size_bytes: int
    max_abs_error: float
    agreement: float
    parity_images: int
    parameters: int
    macs: int
    signature: Signature | None = None
    activation_observer: Observer | None = None
    notes: tuple[str, ...] = ()
    equal_classes: float | None = None
    target: str = FIRST_TARGET
    runtimes: tuple[str, ...] = ()
    kept_words: tuple[int, ...] | int | None = None
