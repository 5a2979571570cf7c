"""A smaller member of the family, with slices of the weights that the larger network has.

Yu et al., Slimmable Neural Networks, arXiv:1812.08928 (width), and Cai et al., Once-for-All,
arXiv:1908.09791, section 3.3 (first blocks of a stage; most important channels first). There the
members share trained weights; here the weights are inherited once and then recovered.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from compress.network.families.network import build
from compress.network.families.plans.config import Shape
from compress.network.network import Network
from compress.network.structure import channels
from compress.network.structure.channels import ChannelGroup
from compress.network.structure.importance import Evidence, importance
from compress.network.supernet import extraction
from compress.techniques.compressed import CompressedModel
from compress.techniques.family_member.config import FamilyMember
from compress.training.context import Task
from compress.values.errors import InvalidCandidate


def apply(compressed: CompressedModel, config: FamilyMember, task: Task) -> CompressedModel:
    """The member of that shape; the network itself, with a note, when that is all of it.

    Raises InvalidCandidate for a network of no family, where a supernet is asked for and there is
    none, and for a member that answers alike whatever the image.
    """
    network = compressed.network
    match config.weights:
        case "fresh":
            student = _fresh(network, config.shape, task)
        case "supernet":
            student = _sliced(task.supernet, config.shape)
        case "inherited":
            student = _inherited(network, config.shape)
    extraction.check_depends(student)
    if student is network:
        note = "family_member: its shape keeps all of the network"
        return compressed.evolve(notes=(*compressed.notes, note))
    return compressed.evolve(network=student)


def _fresh(network: Network, shape: Shape, task: Task) -> Network:
    largest = task.student or extraction.of_family(network).architecture
    module = build(
        largest.member(shape),
        in_channels=network.input_shape[0],
        num_classes=network.num_classes,
        seed=task.seed,
    )
    return replace(network, module=module)


def _sliced(supernet: Network | None, shape: Shape) -> Network:
    if supernet is None:
        raise InvalidCandidate(
            "family_member.weights is 'supernet', but no supernet was trained: give the job one, "
            "or take 'inherited' or 'fresh'"
        )
    return extraction.extract(supernet, extraction.of_family(supernet).architecture.member(shape))


def _inherited(network: Network, shape: Shape) -> Network:
    whole = extraction.of_family(network).architecture
    member = whole.member(shape)
    if member == whole:
        return network
    # What no channel is needed for goes first: the others are ranked in the network that stays.
    full = whole.member(replace(shape, width=1.0, expansion=1.0))
    student = extraction.extract(network, full)
    if member == full:
        return student
    return extraction.extract(channels.ordered(student, _group_norm), member)


def _group_norm(group: ChannelGroup) -> Tensor:
    return importance(group, name="l2", evidence=Evidence())
