"""Cut a narrower, shallower student out of the network, with the weights it already has.

Yu et al., Slimmable Neural Networks, arXiv:1812.08928 (width), and Cai et al., Once-for-All,
arXiv:1908.09791, section 3.3 (first blocks of a stage; most important channels first). There the
members share trained weights; here the weights are inherited once and then recovered.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

from torch import nn

from compress import channels
from compress.errors import InvalidCandidate
from compress.families.residual.network import ResidualNetwork
from compress.model import Network
from compress.techniques.family_member.config import FamilyMember
from compress.techniques.filter_pruning.importance import group_norm


def apply(network: Network, config: FamilyMember) -> tuple[Network, tuple[str, ...]]:
    """A student of at most ``depth`` blocks per stage and ``width`` of every stage's channels.

    The network itself, with a note, when that is all of it.
    """
    student = _shallower(network, config.depth)
    counts = {
        group.root: scaled(group.num_channels, config.width) for group in channels.groups(student)
    }
    if any(counts[group.root] < group.num_channels for group in channels.groups(student)):
        return channels.keep(student, counts, partial(group_norm, norm="l2")), ()
    if student is network:
        return network, ("family_member: width and depth keep all of the network",)
    return student, ()


def scaled(num_channels: int, width: float) -> int:
    """Channels at a width, rounded to the nearest, at least one."""
    return max(1, int(num_channels * width + 0.5))


def _shallower(network: Network, depth: int) -> Network:
    module = network.module
    if not isinstance(module, ResidualNetwork):
        raise InvalidCandidate(f"family_member needs a family, not {type(module).__name__}")
    if all(len(module.stage(index)) <= depth for index in range(module.num_stages)):
        return network
    student = copy.deepcopy(module)
    for index in range(student.num_stages):
        student.set_submodule(
            f"layer{index + 1}", nn.Sequential(*list(student.stage(index))[:depth])
        )
    return replace(network, module=student)
