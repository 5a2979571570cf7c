"""The words in which a member of a family is asked for. Torch-free, and of no family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Dimension = Literal["width", "depth", "kernel", "expansion", "excitation", "activation", "cell"]
"""In what members of a family may differ, apart from the resolution."""
AS_IS = 10**6
"""Larger than any depth or kernel: a limit that limits nothing."""
Operation = Literal["none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3"]
"""What an edge of a cell computes, from the least costly to the most."""
WeightsFrom = Literal["inherited", "fresh", "supernet"]
"""Where a member has its weights from: the network at hand, a seed, or a trained supernet."""
OPERATIONS: tuple[Operation, ...] = get_args(Operation)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a member keeps of the largest network of its family.

    ``width`` and ``expansion`` are shares of channels (of every stage; inside a block), ``depth``
    and ``kernel`` the most blocks of a stage and the most rows of a kernel, ``resolution`` the side
    in pixels of what the first layer sees (0: the image as it is). ``excitation`` False leaves
    squeeze and excitation out, ``activation`` replaces the one inside the blocks, ``cell`` names
    the operation of every edge; empty means as it is.
    """

    width: float = 1.0
    depth: int = AS_IS
    kernel: int = AS_IS
    expansion: float = 1.0
    resolution: int = 0
    excitation: bool = True
    activation: str = ""
    cell: tuple[str, ...] = ()
