"""Importance of channels, from weights, gradients and activations; small ones are removed first.

Every measure gives one number per channel and member of a dependency group, and the members'
numbers are combined: added up as in Fang et al., DepGraph, arXiv:2301.12900, section 3.3, or
averaged after each is divided by its own mean.

Legend: O channels of a group, S slices of a member, I weights of a slice, A inputs of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from compress.network.structure.channel_groups import ChannelGroup, Member
from compress.values.errors import InvalidCandidate, NumericalError

Combination = Literal["sum", "mean"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The measurements on calibration images that an importance needs.

    ``squared_gradients`` are keyed by parameter names; ``inputs`` hold one number per input of a
    layer ``(A,)``, keyed by the layers' names.
    """

    squared_gradients: Mapping[str, Tensor] = field(default_factory=dict)
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    generator: torch.Generator = field(default_factory=torch.Generator)


Score = Callable[[Member, int, Evidence], Tensor | None]
"""Numbers ``(O,)`` of one member, None where the measure says nothing about its kind."""


def importance(
    group: ChannelGroup, *, name: str, combination: Combination = "sum", evidence: Evidence
) -> Tensor:
    """Return the importance ``(O,)`` of a group's channels by the measure of that name.

    Raises InvalidCandidate if no layer of the group has what is measured, and NumericalError if
    the result is not finite.
    """
    if name == "random":
        return torch.rand(group.num_channels, generator=evidence.generator)
    score = _SCORES[name]
    scores = [
        (member, score_O)
        for member in group.members
        if (score_O := score(member, group.num_channels, evidence)) is not None
    ]
    if not scores:
        raise InvalidCandidate(
            f"filter_pruning: the channels of {group.root!r} have no importance {name!r}, no layer "
            "that holds them can be measured so; exclude that layer or choose another importance"
        )
    combined_O = combine(scores, group.num_channels, combination=combination)
    found_O = lamp(combined_O) if name == "lamp" else combined_O
    if not bool(torch.isfinite(found_O).all()):
        raise NumericalError(f"the importance of channels of {group.root!r} is not finite")
    return found_O


def combine(
    scores: list[tuple[Member, Tensor]], num_channels: int, *, combination: Combination
) -> Tensor:
    """Combine the members to ``(O,)``; a mean is over those members that hold the channel."""
    total_O, holders_O = torch.zeros(num_channels), torch.zeros(num_channels)
    for member, score_O in scores:
        held = member.channel_S.unique()
        if combination == "mean":
            score_O = score_O / score_O[held].mean().clamp_min(torch.finfo().tiny)
        total_O[held] += score_O[held]
        holders_O[held] += 1
    return total_O if combination == "sum" else total_O / holders_O.clamp_min(1)


def norm(member: Member, num_channels: int, evidence: Evidence, *, order: int) -> Tensor | None:
    """Return ``(sum |w|^p)^(1/p)`` over a channel's weights.

    Li et al., Pruning Filters for Efficient ConvNets, arXiv:1608.08710, section 3.1, with p = 1.
    """
    if member.weight is None:
        return None
    power_S = member.slices(member.weight).abs().pow(order).sum(1)
    return member.summed(power_S, num_channels).pow(1 / order)


def energy(member: Member, num_channels: int, evidence: Evidence) -> Tensor | None:
    """Return ``sum w^2``, the square that LAMP ranks."""
    found_O = norm(member, num_channels, evidence, order=2)
    return None if found_O is None else found_O.square()


def lamp(energy_O: Tensor) -> Tensor:
    """Return ``E_c / sum of E_d over all d that are no smaller``: layer-adaptive, in (0, 1].

    Lee et al., arXiv:2010.07611, equation 4, with the squared norm of a channel in the place of a
    squared weight. It orders a group as the norm does, and compares groups with each other.
    """
    order_O = torch.argsort(energy_O, stable=True)
    survivors_O = energy_O[order_O].flip(0).cumsum(0).flip(0)
    scores_O = torch.empty_like(energy_O)
    scores_O[order_O] = energy_O[order_O] / survivors_O.clamp_min(torch.finfo().tiny)
    return scores_O


def batchnorm(member: Member, num_channels: int, evidence: Evidence) -> Tensor | None:
    """Return ``|gamma|`` of BatchNorm: Liu et al., arXiv:1708.06519, section 3."""
    if member.weight is None or member.kind != "batchnorm":
        return None
    return norm(member, num_channels, evidence, order=1)


def squared_change(
    member: Member, num_channels: int, evidence: Evidence, *, factor: float
) -> Tensor | None:
    """Return ``factor * sum E[g^2] w^2`` over a channel's weights.

    With gradients ``g`` of small batches and a factor of 1 this is the first-order change of the
    loss when a weight becomes zero: Molchanov et al., arXiv:1906.10771, equation 8. With gradients
    of single images and 1/2 it is Optimal Brain Damage (LeCun et al., NIPS 1989, equation 5) with
    the diagonal of the empirical Fisher matrix for the second derivative.
    """
    if member.weight is None:
        return None
    change_S = member.slices(evidence.squared_gradients[member.tensor] * member.weight.square())
    return factor * member.summed(change_S.sum(1), num_channels)


def fpgm(member: Member, num_channels: int, evidence: Evidence) -> Tensor | None:
    """Return ``sum over d of ||F_c - F_d||_2``, a filter's distance to all filters of its layer.

    He et al., Filter Pruning via Geometric Median, arXiv:1811.00250, equation 4: a filter near
    the geometric median is one that the others can replace.
    """
    if member.weight is None or member.kind not in ("filter", "depthwise"):
        return None
    filters_SI = member.slices(member.weight)
    distance_SS = torch.cdist(filters_SI, filters_SI, compute_mode="donot_use_mm_for_euclid_dist")
    return member.summed(distance_SS.sum(1), num_channels)


def seen(member: Member, num_channels: int, evidence: Evidence) -> Tensor | None:
    """Return what a reader of the channels was given, averaged over a channel's inputs."""
    if member.kind != "reader" or member.layer not in evidence.inputs:
        return None
    value_S = evidence.inputs[member.layer][member.slice_S]
    number_O = member.summed(torch.ones_like(value_S), num_channels)
    return member.summed(value_S, num_channels) / number_O.clamp_min(1)


_SCORES: Mapping[str, Score] = {
    "l1": partial(norm, order=1),
    "l2": partial(norm, order=2),
    "lamp": energy,
    "batchnorm": batchnorm,
    "taylor": partial(squared_change, factor=1.0),
    "hessian": partial(squared_change, factor=0.5),
    "fpgm": fpgm,
    "activation": seen,
    "apoz": seen,
}
