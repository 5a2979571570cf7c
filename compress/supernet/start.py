"""Begin a supernet: with fresh weights, or with a trained network as its largest member."""

from __future__ import annotations

from torch import Tensor

from compress.network.families.catalog import Architecture, plan_of
from compress.network.families.network import build, pad_shortcuts
from compress.network.families.outlining import ElasticFamily
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.sources import safetensors
from compress.network.structure import ordering
from compress.network.structure.channel_groups import ChannelGroup
from compress.network.structure.importance import Evidence, importance
from compress.network.supernet import extraction
from compress.network.supernet.check import check, values
from compress.network.supernet.config import Elastic
from compress.tasks import loading
from compress.training.context import TrialContext
from compress.values.errors import InvalidCandidate


def begin(
    network: Network | None, architecture: Architecture, context: TrialContext, elastic: Elastic
) -> Network:
    """Return an untrained network of the architecture whose members are those of ``elastic``.

    Without ``network``, its weights are fresh, drawn with the context's seed, and images are
    normalised as for the baseline, or by the statistics of the training split if there is none.
    Otherwise it is ``network``, which answers as before, with the most important channels first,
    so that narrower members inherit them (Cai et al., Once-for-All, arXiv:1908.09791, section
    3.3). Channels that pass through a pad shortcut keep their places: in another order the
    shortcut would not be one of the family's, and could not be saved.

    Raises InvalidCandidate if ``check`` does, for members that are not slices, and for a network
    that is not a whole one of the architecture.
    """
    shape, num_classes = context.data.input_shape, context.data.num_classes
    check(elastic, ElasticFamily(config=architecture, input_shape=shape, num_classes=num_classes))
    _check_members(elastic, architecture, shape[0], num_classes)
    if network is not None:
        _check_whole(network, architecture)
        return _ordered(network)
    return Network(
        module=build(
            architecture, in_channels=shape[0], num_classes=num_classes, seed=context.seed
        ),
        normalisation=_normalisation(context),
        input_shape=shape,
        num_classes=num_classes,
    )


def _normalisation(context: TrialContext) -> Normalisation:
    if context.teacher is not None:
        return context.teacher.normalisation
    return loading.sample_statistics(context.data.train)


def _check_members(
    elastic: Elastic, architecture: Architecture, in_channels: int, num_classes: int
) -> None:
    whole = plan_of(architecture, in_channels=in_channels, num_classes=num_classes)
    for shape in values(elastic):
        member = architecture.member(shape)
        extraction.check(whole, plan_of(member, in_channels=in_channels, num_classes=num_classes))


def _check_whole(network: Network, architecture: Architecture) -> None:
    module = extraction.of_family(network)
    if module.architecture != architecture:
        raise InvalidCandidate(
            f"the trained network is {module.architecture}, the supernet is to be {architecture}"
        )
    if not safetensors.is_whole(module):
        raise InvalidCandidate(
            "the trained network has lost channels or layers: only a whole network of its family "
            "becomes a supernet"
        )


def _ordered(network: Network) -> Network:
    pads = {name for name, _ in pad_shortcuts(network.module)}

    def avoids_pads(group: ChannelGroup) -> bool:
        return pads.isdisjoint(member.layer for member in group.members)

    return ordering.ordered(network, _norm, may_move=avoids_pads)


def _norm(group: ChannelGroup) -> Tensor:
    return importance(group, name="l2", evidence=Evidence())
