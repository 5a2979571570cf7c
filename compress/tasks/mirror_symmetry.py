"""Measure whether mirrored images still look like their classes; this decides ``augment: auto``.

A nearest neighbour among the other training images classifies some of them twice, as they are and
mirrored. It classifies mirrored photographs like the originals, but not digits, letters or signs.
All arithmetic is on small integers, so that no order of summation changes a result.

Legend: N images, R references, Q queries among them, C channels, H height, W width, F features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_REFERENCES = 5_000
_QUERIES = 2_000
_SEED = 20_260_105
"""Constant: the same images decide in every job."""
_SIDE = 8
_SAMPLED_SIDE = 32
_LEVELS_PER_DEVIATION = 16
_MOST_LEVELS = 63
"""Sums of 16 x 8 x 8 products of two such levels stay below 2^24: exact in float32."""
_CHUNK_VALUES = 1 << 22
_LEAST_IMAGES = 100
_KNOWN_DEVIATIONS = 4.0
_HARM_DEVIATIONS = 4.0
_HALVED_DEVIATIONS = 3.0
_MOST_LOST = 0.25


@dataclass(frozen=True, kw_only=True)
class MirrorSymmetry:
    """The shares (0 to 1) of ``images`` that a nearest neighbour gets right, plain and mirrored.

    ``chance`` is the share of the most frequent class, ``noise`` the standard error of the
    difference between the two. ``harmed`` is the class that loses most by mirroring, if it loses
    significantly.
    """

    images: int
    plain: float
    mirrored: float
    chance: float
    noise: float
    harmed: int | None

    @property
    def is_known(self) -> bool:
        """Whether at least 100 images are classified better than by chance, by four deviations."""
        guessing = math.sqrt(self.chance * (1 - self.chance) / self.images)
        is_better = self.plain > self.chance + _KNOWN_DEVIATIONS * guessing
        return is_better and self.images >= _LEAST_IMAGES

    @property
    def holds(self) -> bool:
        """Whether mirroring harms nothing.

        True if the neighbours know the classes, lose at most one standard error plus a quarter of
        what they know above chance, and no class is harmed.
        """
        most = _MOST_LOST * (self.plain - self.chance) + self.noise
        return self.is_known and self.plain - self.mirrored <= most and self.harmed is None

    def __str__(self) -> str:
        """Say what was found."""
        said = (
            f"a nearest neighbour answers {self.plain:.1%} of {self.images} training images as "
            f"they are and {self.mirrored:.1%} mirrored"
        )
        if not self.is_known:
            return f"{said}, where chance answers {self.chance:.1%}: too little to decide by"
        return said if self.harmed is None else f"{said}, and class {self.harmed} suffers most"


@torch.no_grad()
def measure(x_NCHW: Tensor, y_N: Tensor) -> MirrorSymmetry:
    """Classify up to 2,000 of up to 5,000 images, drawn with a constant seed, by all the others.

    Takes half a second on one core. A pure function of its arguments.
    """
    generator = torch.Generator().manual_seed(_SEED)
    rows_R = torch.randperm(len(y_N), generator=generator)[:_REFERENCES]
    y_R = y_N[rows_R]
    levels_RCHW = _levels(x_NCHW, rows_R)
    asked = min(_QUERIES, len(y_R))
    y_Q = y_R[:asked]
    plain_Q = _answers(levels_RCHW[:asked], levels_RCHW, y_R) == y_Q
    mirrored_Q = _answers(levels_RCHW[:asked].flip(3), levels_RCHW, y_R) == y_Q
    lost_Q, won_Q = plain_Q & ~mirrored_Q, mirrored_Q & ~plain_Q
    return MirrorSymmetry(
        images=asked,
        plain=int(plain_Q.sum()) / asked,
        mirrored=int(mirrored_Q.sum()) / asked,
        chance=int(y_Q.bincount().max()) / asked,
        noise=math.sqrt(int(lost_Q.sum()) + int(won_Q.sum())) / asked,
        harmed=_harmed(y_Q, plain_Q, lost_Q, won_Q),
    )


def _levels(x_NCHW: Tensor, rows_R: Tensor) -> Tensor:
    """Shrink images, in sixteenths of their channel's deviation: integers as float32."""
    parts = rows_R.split(max(1, _CHUNK_VALUES // x_NCHW[0].numel()))
    small_RCHW = torch.cat([_small(x_NCHW[rows_B]) for rows_B in parts])
    centred_RCHW = small_RCHW - small_RCHW.mean(dim=(0, 2, 3), keepdim=True)
    deviation_C11 = centred_RCHW.square().mean(dim=(0, 2, 3), keepdim=True).sqrt()
    # A constant channel is zero everywhere.
    deviation_C11 = torch.where(deviation_C11 > 0, deviation_C11, 1.0)
    levels_RCHW = (centred_RCHW / deviation_C11 * _LEVELS_PER_DEVIATION).round()
    return levels_RCHW.clamp(-_MOST_LEVELS, _MOST_LEVELS).float()


def _small(x_BCHW: Tensor) -> Tensor:
    """Average about 32 rows and columns over at most 8 by 8 cells, in float64."""
    rows, columns = (max(1, side // _SAMPLED_SIDE) for side in x_BCHW.shape[2:])
    x_BCHW = x_BCHW[:, :, rows // 2 :: rows, columns // 2 :: columns].double()
    height, width = (min(_SIDE, side) for side in x_BCHW.shape[2:])
    return functional.adaptive_avg_pool2d(x_BCHW, (height, width))


def _answers(asked_QCHW: Tensor, levels_RCHW: Tensor, y_R: Tensor) -> Tensor:
    """Return the label of the nearest other image; of equally near ones, the first in the draw."""
    references_RF, asked_QF = levels_RCHW.flatten(1), asked_QCHW.flatten(1)
    distance_QR = references_RF.square().sum(dim=1) - 2 * asked_QF @ references_RF.T
    own_Q = torch.arange(len(asked_QF))
    distance_QR[own_Q, own_Q] = torch.inf
    # Torch does not say which of equal ones its argmin takes; numpy takes the first.
    return y_R[torch.from_numpy(distance_QR.numpy().argmin(axis=1))]


def _harmed(y_Q: Tensor, plain_Q: Tensor, lost_Q: Tensor, won_Q: Tensor) -> int | None:
    """Find the class that loses most, by four deviations of chance, or by three if it loses half.

    McNemar's test: without an effect, losses minus gains vary by the square root of their sum.
    """
    classes = int(y_Q.max()) + 1
    plain_K, lost_K, won_K = (
        y_Q[each_Q].bincount(minlength=classes) for each_Q in (plain_Q, lost_Q, won_Q)
    )
    z_K = (lost_K - won_K) / (lost_K + won_K).clamp(min=1).sqrt()
    halved_K = 2 * (lost_K - won_K) > plain_K
    is_harmed_K = (z_K > _HARM_DEVIATIONS) | (halved_K & (z_K > _HALVED_DEVIATIONS))
    worst = int(torch.where(is_harmed_K, z_K, -1.0).argmax())
    return worst if bool(is_harmed_K[worst]) else None
