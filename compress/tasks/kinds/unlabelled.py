"""No labels: answers are compared with those of the network as it was uploaded.

So networks can be compressed of which nobody said what their outputs mean: detectors, segmenters,
embedders. Outputs are flat rows; those of several outputs lie side by side.

Legend: N examples, B examples of a batch, M numbers of an example's outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from compress.network.signature import Port, Signature
from compress.tasks import loading
from compress.tasks.answers import Answers
from compress.tasks.images import ImageData
from compress.tasks.names import Comparison
from compress.tasks.task import Batch, Task
from compress.values.measurement import Metric

_LEAST = 1e-12
_FAINT = 1e-4
"""Of the longest row: what is shorter is rounding, as of maps that are 0 but in a few places."""
_FLAT_AXES = 2


@dataclass(frozen=True, kw_only=True)
class OutputPart:
    """One output of a network: its name, its numbers for an example, and how it is compared.

    ``width`` is the size of the last axis, along which chances add up to 1. Empty names mean the
    only output.
    """

    name: str = ""
    size: int
    width: int
    kind: Comparison


@dataclass(frozen=True)
class OutputParts(Answers):
    """Outputs side by side, each compared in its own way; without parts, all as numbers."""

    are_logits = False
    parts: tuple[OutputPart, ...] = ()

    def rows(self, outputs: NDArray[Any]) -> Sequence[NDArray[Any]]:
        """Return one array ``(N, M)`` for each output."""
        flat_NM = outputs.reshape(len(outputs), -1)
        ends = np.cumsum([part.size for part in self.parts])[:-1]
        return np.split(flat_NM, ends, axis=1)

    def divergence(self, own: Tensor, other: Tensor, *, temperature: float = 1.0) -> Tensor:
        """Return the sum over outputs of what each has lost.

        That is ``T^2 KL(p || q)`` of chances, one minus the cosine, or the squared error in units
        of twice the variance of the own output.
        """
        pairs = self.pieces(own), self.pieces(other)
        lost = [_LOST[kind](p, q, temperature) for (kind, p), (_, q) in zip(*pairs, strict=True)]
        return torch.stack(lost).sum()

    def squared_error(self, own: Tensor, other: Tensor) -> Tensor:
        """Return the sum over outputs of the squared error in units of twice the variance."""
        pairs = zip(self.pieces(own), self.pieces(other), strict=True)
        return torch.stack([_squared(p, q, 1.0) for (_, p), (_, q) in pairs]).sum()

    def pieces(self, outputs: Tensor) -> Iterator[tuple[Comparison, Tensor]]:
        """Yield the comparison and the numbers ``(B, rows, width)`` of every output."""
        flat_BM = outputs.flatten(1)
        if not self.parts:
            yield "relative", flat_BM[:, None]
            return
        sizes = [part.size for part in self.parts]
        for part, piece in zip(self.parts, flat_BM.split(sizes, dim=1), strict=True):
            yield part.kind, piece.reshape(len(piece), -1, part.width)


@dataclass(frozen=True)
class Unlabelled(Task):
    """Outputs ``(B, M)`` that should stay what they were; ``labels`` are the baseline's own."""

    name = "unlabelled"
    primary = "agreement"
    view_revision = 1
    parts: tuple[OutputPart, ...] = ()

    @property
    def answers(self) -> Answers:
        """Outputs side by side."""
        return OutputParts(self.parts)

    @classmethod
    def fitted(cls, signature: Signature, asked: Mapping[str, Comparison]) -> Unlabelled:
        """Return the task for the outputs of a network, each compared as asked or as it looks."""
        ports = signature.outputs
        return cls(tuple(_part(port, asked.get(port.name)) for port in ports))

    def load(self, path: Path) -> ImageData:
        """Read an npz dataset, as ``compress.tasks.loading`` does. Raises InvalidData."""
        return loading.load(path, task=self.name)

    def loss(self, outputs_BK: Tensor, batch: Batch) -> Tensor:
        """Return what the outputs have lost of the baseline's."""
        return self.answers.divergence(batch.labels_B, outputs_BK)

    def quality(
        self, outputs_NK: NDArray[np.float32], labels_N: NDArray[Any]
    ) -> Mapping[Metric, float]:
        """Return agreement, and of each kind of figure that of the worst output."""
        found = self._figures(outputs_NK, labels_N)
        return {
            "agreement": max(0.0, min(each.agreement for each in found)),
            "cosine": min(each.cosine for each in found),
            "relative_error": max(each.relative for each in found),
            "divergence": max(each.nats for each in found),
        }

    def primary_of(self, outputs_NK: NDArray[np.float32], labels_N: NDArray[Any]) -> float:
        """Return the agreement alone."""
        return self.quality(outputs_NK, labels_N)["agreement"]

    def agreement(
        self,
        outputs_NK: NDArray[np.float32],
        reference_NK: NDArray[np.float32],
        *,
        tie: float | NDArray[np.float64] | None = None,
    ) -> float:
        """Return the agreement of the worst output; with ``tie``, smaller errors count as none."""
        if tie is not None:
            rows = reference_NK.reshape(len(reference_NK), -1)
            apart = outputs_NK.reshape(rows.shape) - rows
            tie_N1 = np.reshape(np.broadcast_to(tie, (len(rows),)), (-1, 1))
            kept = np.sign(apart) * np.maximum(np.abs(apart) - tie_N1, 0.0)
            outputs_NK = (rows + kept).astype(np.float32)
        return self.primary_of(outputs_NK, reference_NK)

    def _figures(
        self, outputs_NK: NDArray[np.float32], labels_N: NDArray[Any]
    ) -> Sequence[_OutputFigures]:
        parts = OutputParts(self.parts)
        said = parts.pieces(torch.from_numpy(np.ascontiguousarray(outputs_NK)).double())
        true = parts.pieces(torch.from_numpy(np.ascontiguousarray(labels_N)).double())
        return [_figures(kind, p, q) for (kind, q), (_, p) in zip(said, true, strict=True)]


@dataclass(frozen=True, kw_only=True)
class _OutputFigures:
    """Of one output; what its kind of numbers does not have is perfect."""

    agreement: float
    cosine: float
    relative: float
    nats: float


def _figures(kind: Comparison, own: Tensor, other: Tensor) -> _OutputFigures:
    # Rounding may leave the cosine of equal directions above 1.
    cosine = min(1.0, float(1 - _turned(own, other, 1.0)))
    relative = float((2 * _squared(own, other, 1.0)).sqrt())
    nats = float(_nats(own, other, 1.0)) if kind == "distribution" else 0.0
    match kind:
        case "distribution":
            agreement = float((own.argmax(-1) == other.argmax(-1)).double().mean())
        case "cosine":
            agreement = cosine
        case "relative":
            agreement = 1 - relative**2
    if kind == "distribution":
        # Logits may be shifted all alike, and mean the same.
        cosine, relative = 1.0, 0.0
    return _OutputFigures(
        agreement=agreement, cosine=cosine, relative=relative, nats=max(0.0, nats)
    )


def _part(port: Port, asked: Comparison | None) -> OutputPart:
    size = int(np.prod(port.shape[1:], dtype=np.int64))
    width = port.shape[-1] if len(port.shape) > 1 else 1
    usual: Comparison = "cosine" if len(port.shape) == _FLAT_AXES and width > 1 else "relative"
    kind = asked or ("distribution" if port.softmax else usual)
    whole = size if kind == "cosine" and len(port.shape) == _FLAT_AXES else width
    return OutputPart(name=port.name, size=size, width=max(1, whole), kind=kind)


def _nats(own: Tensor, other: Tensor, temperature: float) -> Tensor:
    log_p, log_q = (functional.log_softmax(x / temperature, dim=-1) for x in (own, other))
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(dim=-1).mean()


def _turned(own: Tensor, other: Tensor, temperature: float) -> Tensor:
    """One minus the mean cosine of the directions along the last axis.

    Where both are next to nothing, beside the longest of the own, neither has a direction to lose.
    """
    apart = 1 - functional.cosine_similarity(own, other, dim=-1, eps=_LEAST**2)
    longest = own.norm(dim=-1).max()
    is_faint = torch.maximum(own.norm(dim=-1), other.norm(dim=-1)) <= _FAINT * longest
    return torch.where(is_faint, 0.0, apart).mean()


def _squared(own: Tensor, other: Tensor, temperature: float) -> Tensor:
    """The mean squared error in units of twice the variance of the own output."""
    variance = own.var(correction=0).clamp_min(_LEAST)
    return (own - other).square().mean() / (2 * variance)


_LOST: Mapping[Comparison, Callable[[Tensor, Tensor, float], Tensor]] = {
    "distribution": _nats,
    "cosine": _turned,
    "relative": _squared,
}
