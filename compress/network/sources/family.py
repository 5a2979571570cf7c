"""Networks of families: new ones, and smaller members of one that is there.

Yu et al., Slimmable Neural Networks, arXiv:1812.08928 (width), and Cai et al., Once-for-All,
arXiv:1908.09791, section 3.3 (first blocks of a stage; most important channels first). There the
members share trained weights; a member with inherited weights takes them once and is recovered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from compress.network.families import outlining
from compress.network.families.catalog import Architecture
from compress.network.families.drawn import network as drawn
from compress.network.families.drawn.catalog import DrawnArchitecture
from compress.network.families.drawn.config import DrawnConfig
from compress.network.families.network import build
from compress.network.member import Shape, WeightsFrom
from compress.network.network import Members, Network
from compress.network.outline import Outline
from compress.network.preprocessing import Normalisation
from compress.network.signature import ExampleShape
from compress.network.structure import ordering
from compress.network.structure.channel_groups import ChannelGroup
from compress.network.structure.importance import Evidence, importance
from compress.network.supernet import extraction
from compress.values.errors import InvalidCandidate


def fresh(
    architecture: Architecture | DrawnArchitecture,
    *,
    normalisation: Normalisation,
    input_shape: ExampleShape,
    num_classes: int,
    seed: int,
) -> Network:
    """Make a network of the architecture with new weights, the same for the same seed.

    Raises InvalidCandidate for one that answers alike whatever the image, and for a drawn one that
    is not fitted to such examples.
    """
    if isinstance(architecture, DrawnConfig):
        return drawn.fresh(
            architecture,
            normalisation=normalisation,
            input_shape=input_shape,
            num_classes=num_classes,
            seed=seed,
        )
    module = build(architecture, in_channels=input_shape[0], num_classes=num_classes, seed=seed)
    network = Network(
        module=module,
        normalisation=normalisation,
        input_shape=input_shape,
        num_classes=num_classes,
    )
    extraction.check_depends(network)
    return network


def aimed(network: Network, targets: Tensor) -> Network:
    """Return a new network whose answers have the unit of the targets, if it predicts numbers."""
    return drawn.aimed(network, targets) if drawn.is_drawn(network) else network


@dataclass(frozen=True, kw_only=True)
class FamilyMembers:
    """Members of the network at hand, or of a larger one: the ``largest``."""

    largest: Architecture | None = None

    def student(self, network: Network) -> Outline | None:
        """Outline the largest network; return None if that is ``network``."""
        if self.largest is None:
            return None
        return outlining.outline(
            self.largest, input_shape=network.input_shape, num_classes=network.num_classes
        )

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

        Raises InvalidCandidate for a network of no family, where a supernet is asked for and there
        is none, and for a member that answers alike whatever the image.
        """
        match weights:
            case "fresh":
                found = self._fresh(network, shape, seed)
            case "supernet":
                found = _sliced(supernet, shape)
            case "inherited":
                found = _inherited(network, shape)
        extraction.check_depends(found)
        return found

    def _fresh(self, network: Network, shape: Shape, seed: int) -> Network:
        largest = self.largest or extraction.of_family(network).architecture
        module = build(
            largest.member(shape),
            in_channels=network.input_shape[0],
            num_classes=network.num_classes,
            seed=seed,
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
    return extraction.extract(ordering.ordered(student, _group_norm), member)


def _group_norm(group: ChannelGroup) -> Tensor:
    return importance(group, name="l2", evidence=Evidence())


_: type[Members] = FamilyMembers
