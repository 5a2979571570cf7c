"""Importance of channels: the norm of their weights, summed over the dependency group.

Li et al., Pruning Filters for Efficient ConvNets, arXiv:1608.08710, section 3.1 (L1); summed over
coupled layers as in Fang et al., DepGraph, arXiv:2301.12900, section 3.3.

Legend: O channels of the group, I everything else in a tensor.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from compress.channels import ChannelGroup

_ORDER = {"l1": 1, "l2": 2}


def group_norm(group: ChannelGroup, norm: Literal["l1", "l2"]) -> Tensor:
    """Importance ``(O,)``: each member adds the norms of its O slices."""
    importance_O = torch.zeros(group.num_channels)
    for member in group.members:
        importance_O += slice_norm(member.weight, axis=member.axis, norm=norm)
    return importance_O


def slice_norm(weight: Tensor, *, axis: int, norm: Literal["l1", "l2"]) -> Tensor:
    """Norm of every slice of a weight along ``axis``."""
    weight_OI = weight.movedim(axis, 0).reshape(weight.shape[axis], -1)
    return torch.linalg.vector_norm(weight_OI, ord=_ORDER[norm], dim=1)
