"""A weight as a product of thinner ones.

``channel``: ``O x C x h x w`` to ``R x C x h x w`` and ``O x R x 1 x 1`` (Zhang et al.,
Accelerating Very Deep Convolutional Networks, arXiv:1505.06798, section 3.1); for a linear layer
and a 1x1 convolution it is the plain SVD. ``spatial``: ``R x C x h x 1`` and ``O x R x 1 x w``
(Jaderberg et al., arXiv:1405.3866, section 2.2). ``tucker2``: ``S x C x 1 x 1``, ``R x S x h x w``
and ``O x R x 1 x 1`` (Kim et al., arXiv:1511.06530, section 3.2), by HOSVD and orthogonal
iteration.

Each is the best in the Frobenius norm, or, with the second moments of what a layer reads (Zhang et
al., section 3.1: of what it answers), the best for those inputs. The two halves of a Tucker
decomposition may each lose half of what may be lost, so the whole keeps at least its share.

Legend: O output channels, C input channels, h and w kernel, R and S ranks, I the columns of a
matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_SWEEPS = 3
_BALANCING_SWEEPS = 5
_DAMPING = 1e-6


@dataclass(frozen=True, kw_only=True)
class Factors:
    """Weights in the order in which they run; ``lost`` is the share of the energy that is gone."""

    method: str
    weights: tuple[Tensor, ...]
    lost: float

    @property
    def num_weights(self) -> int:
        """Weights of all factors."""
        return sum(weight.numel() for weight in self.weights)


@dataclass(frozen=True, kw_only=True)
class RankTarget:
    """``energy`` to keep (0 to 1), and the most weights that the factors may hold, if limited."""

    energy: float
    most_weights: int | None = None

    def rank(self, energies_R: Tensor, weights_per_rank: int, *, share: float = 1.0) -> int:
        """The smallest rank that keeps the energy; the limit goes before it; at least 1.

        ``energies_R`` are squared singular values, largest first; ``share`` is the part of the
        loss that this rank may cause.
        """
        total = energies_R.sum().clamp_min(torch.finfo(energies_R.dtype).tiny)
        kept_R = energies_R.cumsum(0) / total
        enough = 1 - (1 - self.energy) * share
        rank = int((kept_R < enough - 1e-12).sum()) + 1
        rank = min(rank, len(energies_R))
        if self.most_weights is not None:
            rank = min(rank, self.most_weights // weights_per_rank)
        return max(1, rank)


def balanced(weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The same product of factors, with every channel between two of them as large in both.

    A channel may be multiplied in one factor and divided in the next. Left as they are found, one
    factor may be a thousand times smaller than the other, and a step that suits the one moves the
    other by many times its size; balance stays balance while both descend (Du et al.,
    arXiv:1806.00900, theorem 2.1).
    """
    factors = list(weights)
    for _ in range(_BALANCING_SWEEPS):
        for index in range(len(factors) - 1):
            factors[index : index + 2] = _balanced_pair(*factors[index : index + 2])
    return tuple(factors)


def _balanced_pair(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    out_R = torch.linalg.vector_norm(first.flatten(1), dim=1)
    into_R = torch.linalg.vector_norm(second.transpose(0, 1).flatten(1), dim=1)
    factor_R = torch.where((out_R > 0) & (into_R > 0), into_R / out_R, 1.0).sqrt()
    ones = [1] * (first.ndim - 2)
    return first * factor_R.view(-1, 1, *ones), second / factor_R.view(1, -1, *ones)


def channel(weight: Tensor, wanted: RankTarget, *, answers_OO: Tensor | None) -> Factors:
    """Project the outputs on their principal directions; ``answers_OO`` is their covariance."""
    weight_OI = weight.flatten(1)
    moment_OO = weight_OI @ weight_OI.T if answers_OO is None else answers_OO
    energies_R, basis_OR = _eigen(moment_OO)
    rank = wanted.rank(energies_R, weight_OI.shape[0] + weight_OI.shape[1])
    basis_OR = basis_OR[:, :rank]
    first = (basis_OR.T @ weight_OI).reshape(rank, *weight.shape[1:])
    last = basis_OR.reshape(*basis_OR.shape, *[1] * (weight.ndim - 2))
    return Factors(method="channel", weights=(first, last), lost=_lost(energies_R, rank))


def spatial(weight: Tensor, wanted: RankTarget, *, columns_II: Tensor | None) -> Factors:
    """A vertical and a horizontal convolution; ``columns_II`` are second moments of ``C x h``."""
    outputs, channels, height, width = weight.shape
    matrix_IJ = weight.permute(1, 2, 3, 0).reshape(channels * height, width * outputs)
    root_II, inverse_II = _roots(columns_II, len(matrix_IJ))
    left_IR, values_R, right_RJ = torch.linalg.svd(root_II @ matrix_IJ, full_matrices=False)
    rank = wanted.rank(values_R.square(), sum(matrix_IJ.shape))
    roots_R = values_R[:rank].sqrt()
    first_IR = inverse_II @ left_IR[:, :rank] * roots_R
    last_RJ = roots_R[:, None] * right_RJ[:rank]
    first = first_IR.T.reshape(rank, channels, height, 1)
    last = last_RJ.reshape(rank, 1, width, outputs).permute(3, 0, 1, 2)
    lost = _lost(values_R.square(), rank)
    return Factors(method="spatial", weights=(first, last), lost=lost)


def tucker2(weight: Tensor, wanted: RankTarget, *, inputs_CC: Tensor | None) -> Factors:
    """Fewer channels before and behind a smaller core; ``inputs_CC`` are second moments."""
    root_CC, inverse_CC = _roots(inputs_CC, weight.shape[1])
    white = torch.einsum("ochw,cd->odhw", weight, root_CC)
    ranks = _tucker_ranks(white, wanted)
    basis_OR, basis_CS = (_leading(white, mode, rank) for mode, rank in enumerate(ranks))
    for _ in range(_SWEEPS):
        basis_OR = _leading(torch.einsum("ochw,cs->oshw", white, basis_CS), 0, ranks[0])
        basis_CS = _leading(torch.einsum("ochw,or->rchw", white, basis_OR), 1, ranks[1])
    core = torch.einsum("ochw,or,cs->rshw", white, basis_OR, basis_CS)
    lost = 1 - core.square().sum() / white.square().sum().clamp_min(1e-300)
    first = (basis_CS.T @ inverse_CC)[:, :, None, None]
    return Factors(
        method="tucker2", weights=(first, core, basis_OR[:, :, None, None]), lost=float(lost)
    )


def _tucker_ranks(white: Tensor, wanted: RankTarget) -> tuple[int, int]:
    """Ranks of outputs and inputs; shrunk alike when their factors would hold too much."""
    outputs, channels = white.shape[:2]
    free = RankTarget(energy=wanted.energy)
    energies = (_eigen(_moment(white, mode))[0] for mode in range(2))
    rank_out, rank_into = (free.rank(energies_R, 1, share=0.5) for energies_R in energies)
    ranks = rank_out, rank_into
    if wanted.most_weights is None:
        return ranks
    kernel = white[0, 0].numel()
    for percent in range(100, 0, -1):
        out, into = (max(1, rank * percent // 100) for rank in ranks)
        if into * channels + into * out * kernel + out * outputs <= wanted.most_weights:
            return out, into
    return 1, 1


def _leading(tensor: Tensor, mode: int, rank: int) -> Tensor:
    return _eigen(_moment(tensor, mode))[1][:, :rank]


def _moment(tensor: Tensor, mode: int) -> Tensor:
    unfolded = tensor.movedim(mode, 0).flatten(1)
    return unfolded @ unfolded.T


def _eigen(moment: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, largest first and none negative, and their vectors, signs made definite."""
    values, vectors = torch.linalg.eigh(moment)
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    largest = vectors.abs().argmax(dim=0, keepdim=True)
    return values, vectors * vectors.gather(0, largest).sign()


def _roots(moment: Tensor | None, size: int) -> tuple[Tensor, Tensor]:
    """The symmetric square root of second moments and its inverse; nothing seen is identity."""
    if moment is None:
        return torch.eye(size, dtype=torch.float64), torch.eye(size, dtype=torch.float64)
    values, vectors = _eigen(moment)
    roots = (values + _DAMPING * values.mean().clamp_min(1e-300)).sqrt()
    return vectors * roots @ vectors.T, vectors / roots @ vectors.T


def _lost(energies_R: Tensor, rank: int) -> float:
    return float(energies_R[rank:].sum() / energies_R.sum().clamp_min(1e-300))
