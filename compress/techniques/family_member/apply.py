"""Cut a narrower, shallower student out of the network, with the weights it already has.

Yu et al., Slimmable Neural Networks, arXiv:1812.08928 (width), and Cai et al., Once-for-All,
arXiv:1908.09791, section 3.3 (first blocks of a stage; most important channels first). There the
members share trained weights; here the weights are inherited once and then recovered.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from torch import Tensor, nn

from compress import channels
from compress.channels import ChannelGroup
from compress.compressed import CompressedModel
from compress.errors import InvalidCandidate
from compress.families.residual.network import ResidualNetwork
from compress.model import Network
from compress.task import Task
from compress.techniques.family_member.config import FamilyMember
from compress.techniques.filter_pruning.importance import Evidence, importance


def apply(compressed: CompressedModel, config: FamilyMember, task: Task) -> CompressedModel:
    """A student of at most ``depth`` blocks per stage and ``width`` of every stage's channels.

    The network itself, with a note, when that is all of it.
    """
    network = compressed.network
    student = _shallower(network, config.depth)
    found = channels.groups(student)
    counts = {group.root: scaled(group.num_channels, config.width) for group in found}
    if any(counts[group.root] < group.num_channels for group in found):
        return compressed.evolve(network=channels.keep(student, counts, _group_norm))
    if student is network:
        note = "family_member: width and depth keep all of the network"
        return compressed.evolve(notes=(*compressed.notes, note))
    return compressed.evolve(network=student)


def _group_norm(group: ChannelGroup) -> Tensor:
    return importance(group, name="l2", evidence=Evidence())


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
