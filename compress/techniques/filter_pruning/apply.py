"""Remove whole channels, in one shot or step by step, by share or to a target.

A ratio of channels applies to the residual stream of a stage and to the channels inside each of
its blocks, so a ratio of one half removes about three quarters of the stage's weights.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from compress.network import layers
from compress.network.graph.coupling.groups import ALONE
from compress.network.network import Network
from compress.network.running import coverage
from compress.network.running.coverage import Reach
from compress.network.structure import channels
from compress.network.structure.channel_groups import ChannelGroup, Channels
from compress.network.structure.importance import Evidence, importance
from compress.techniques.compressed import CompressedModel
from compress.techniques.filter_pruning import calibration, cost, strategies, targets, widths
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.filter_pruning.cost import Cost, Meter
from compress.techniques.filter_pruning.strategies import Ranked
from compress.techniques.filter_pruning.widths import Counts, kept
from compress.training import batchnorm, loop
from compress.training.context import TrialContext
from compress.training.loop import Hooks, TrainingPlan
from compress.values import patterns, seeds
from compress.values.errors import InvalidCandidate, NumericalError, Stopped

__all__ = ["apply", "kept"]

_NAME = "filter_pruning"
_SLIMMING_RATE = 0.05
_RECOVERY_RATE = 0.02


@dataclass(frozen=True, kw_only=True)
class _Start:
    """The network before the first step, of which amounts and targets are shares."""

    groups: Mapping[str, ChannelGroup]
    """The groups that may be pruned, keyed by root."""
    meter: Meter
    cost: Cost

    def among(self, found: Channels) -> list[ChannelGroup]:
        """Return the same groups in a network from which some of the channels were removed.

        A group with nothing more to lose is none of the smaller network.
        """
        return [
            found.by_root.get(root) or group.at_its_least for root, group in self.groups.items()
        ]


def apply(
    compressed: CompressedModel, config: FilterPruning, context: TrialContext
) -> CompressedModel:
    """Return the network without its least important channels.

    Notes say what a ratio could not remove, how nearly a target was met, and what was trained
    before the first rung. Raises InvalidCandidate if the network has no graph or no
    channel that may be removed, if the ratios are not one per stage, or if a target is out of
    reach; NumericalError for weights that are not finite; InvalidData for calibration images that
    do not fit.
    """
    network = compressed.network
    _check_finite(network.module)
    found = channels.find(network)
    _check_ratios(found, config)
    if not config.has_effect:
        return _noted(compressed, (f"{_NAME}: every ratio is 0, nothing was removed",))
    groups = _prunable(network, found, config)
    if not groups:
        nothing = f"{_NAME}: nothing was removed, each layer has its last channel"
        return _noted(compressed, (*_fixed(found), nothing))
    start = _start(network, groups)
    pruned = _slimmed(network, config, context)
    untrained = network if pruned is network and config.step_epochs == 0 else None
    for step in range(config.steps):
        if context.should_stop():
            raise Stopped(f"{_NAME}: stopped before step {step + 1} of {config.steps}")
        if step > 0:
            pruned = _recovered(pruned, config, context, step=step, like=untrained)
        pruned = _pruned(pruned, start, config, context, step=step)
    notes = (
        *_fixed(found),
        *_not_covered(network, found, groups),
        *_notes(found, pruned, start, config),
    )
    return _noted(compressed.after(config, network=pruned), notes)


def _check_finite(module: nn.Module) -> None:
    for name, tensor in module.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise NumericalError(f"{_NAME}: tensor {name!r} holds a NaN or an infinity")


def _check_ratios(found: Channels, config: FilterPruning) -> None:
    if config.scope == "stage" and len(config.ratios) != found.num_stages:
        raise InvalidCandidate(
            f"{_NAME} needs one ratio per stage: {found.num_stages}, got {len(config.ratios)}"
        )


def _prunable(network: Network, found: Channels, config: FilterPruning) -> list[ChannelGroup]:
    names = [layer.name for layer in layers.weighted(network)]
    spared = set(patterns.matching(config.exclude, names, technique=_NAME))
    groups = [g for g in found.groups if not spared & {member.layer for member in g.members}]
    is_narrow = ALONE in found.fixed.values() and config.target == "channels"
    if not groups and not is_narrow:
        raise InvalidCandidate(
            f"{_NAME}: {type(network.module).__name__} has no channels that may leave; those of "
            f"its input, of its logits and of the excluded layers {sorted(spared)} stay"
            + "".join(f"; those of {root}: {why}" for root, why in found.fixed.items())
        )
    return groups


def _start(network: Network, groups: Collection[ChannelGroup]) -> _Start:
    meter = cost.meter(network)
    by_root = {group.root: group for group in groups}
    return _Start(groups=by_root, meter=meter, cost=meter.read(network.module))


def _slimmed(network: Network, config: FilterPruning, context: TrialContext) -> Network:
    """Train with an L1 penalty on scales: Liu et al., Network Slimming, arXiv:1708.06519."""
    if config.slimming_epochs == 0:
        return network
    plan = TrainingPlan(
        epochs=config.slimming_epochs,
        seed=context.seed,
        batch_size=context.batch_size,
        learning_rate=_SLIMMING_RATE,
        batchnorm_l1=config.slimming_penalty,
        augment=context.augment,
    )
    slimmed, _ = loop.fit(
        network,
        context.data.train,
        plan,
        task=context.task,
        device=context.device,
        hooks=Hooks(should_stop=context.should_stop),
    )
    return slimmed


def _recovered(
    network: Network,
    config: FilterPruning,
    context: TrialContext,
    *,
    step: int,
    like: Network | None,
) -> Network:
    """Re-estimate BatchNorm between two steps, and train if the config says so.

    ``like`` is the network before the first step, unless it was trained since.
    """
    fresh = batchnorm.reestimate(
        network,
        context.data.train,
        task=context.task,
        device=context.device,
        augment=context.augment,
        like=like,
    )
    if config.step_epochs == 0:
        return fresh
    plan = TrainingPlan(
        epochs=config.step_epochs,
        seed=seeds.derive(context.seed, "pruning", step),
        batch_size=context.batch_size,
        learning_rate=_RECOVERY_RATE,
        augment=context.augment,
    )
    trained, _ = loop.fit(
        fresh,
        context.data.train,
        plan,
        task=context.task,
        device=context.device,
        hooks=Hooks(should_stop=context.should_stop),
    )
    return trained


def _pruned(
    network: Network, start: _Start, config: FilterPruning, context: TrialContext, *, step: int
) -> Network:
    """Make one step; after the last one the whole amount is removed."""
    found = channels.find(network)
    ranked = _ranked(network, start.among(found), start, config, context, step=step)
    share = (step + 1) / config.steps
    counts = _counts(network, found, ranked, start, config, share=share)
    removed = _removed(ranked, counts)
    return channels.remove(network, found, removed) if removed else network


def _ranked(
    network: Network,
    groups: Sequence[ChannelGroup],
    start: _Start,
    config: FilterPruning,
    context: TrialContext,
    *,
    step: int,
) -> list[Ranked]:
    evidence = calibration.gather(network, config, context, step=step)
    return [
        Ranked(
            group=group,
            importance_O=_importance(group, config, evidence),
            original=start.groups[group.root].num_channels,
        )
        for group in groups
    ]


def _importance(group: ChannelGroup, config: FilterPruning, evidence: Evidence) -> torch.Tensor:
    if not group.members:
        return torch.ones(group.num_channels)
    return importance(
        group, name=config.importance, combination=config.combination, evidence=evidence
    )


def _counts(
    network: Network,
    found: Channels,
    ranked: Sequence[Ranked],
    start: _Start,
    config: FilterPruning,
    *,
    share: float,
) -> Counts:
    if config.target == "channels":
        whole = 1.0 if config.scope == "stage" else config.ratio
        return strategies.counts(ranked, config, whole * share)
    target = config.target

    def cost_of(counts: Counts) -> int:
        smaller = channels.without(network, found, _removed(ranked, counts))
        return start.meter.read(smaller.module).of(target)

    goal = start.cost.of(target) * (1 - config.ratio * share)
    return targets.nearest(
        partial(strategies.counts, ranked, config),
        largest=widths.largest_amount(config),
        cost_of=cost_of,
        goal=goal,
    )


def _removed(ranked: Sequence[Ranked], counts: Counts) -> dict[str, torch.Tensor]:
    return {
        one.group.root: channels.least_important(one.group, one.importance_O, count)
        for one in ranked
        if (count := counts[one.group.root]) < one.group.num_channels
    }


def _notes(
    found: Channels, pruned: Network, start: _Start, config: FilterPruning
) -> tuple[str, ...]:
    narrower = {
        group.stage
        for group in start.among(channels.find(pruned))
        if group.num_channels < start.groups[group.root].num_channels
    }
    if config.target != "channels":
        notes = (_achieved(pruned, start, config),)
    elif config.scope == "stage":
        notes = tuple(
            f"{_NAME}: ratio {ratio:g} of stage {stage + 1} removed nothing, its channels are "
            f"rounded up to multiples of {config.round_to}"
            for stage, ratio in enumerate(config.ratios)
            if ratio > 0 and stage not in narrower
        )
    else:
        rounded = f"channels are rounded up to multiples of {config.round_to}"
        nothing = f"{_NAME}: ratio {config.ratio:g} removed nothing, {rounded}"
        notes = () if narrower else (nothing,)
    return (*notes, *_trained(config))


def _fixed(found: Channels) -> Iterator[str]:
    """Note which channels always stay, once per reason."""
    for why in dict.fromkeys(found.fixed.values()):
        roots = ", ".join(repr(root) for root, reason in found.fixed.items() if reason == why)
        yield f"{_NAME}: the channels of {roots} stay: {why}"


def _not_covered(
    network: Network, found: Channels, groups: Collection[ChannelGroup]
) -> Iterator[str]:
    """Note the weights in layers that lose no channels."""
    reached, possible = (
        {member.layer for group in some for member in group.members}
        for some in (groups, found.groups)
    )
    # Where channels are fixed, a note has named them with the reason.
    described = {layer.name for layer in layers.weighted(network)} if found.fixed else set()
    reach = Reach(
        what="layers whose channels may leave",
        reached=reached,
        excluded=possible - reached,
        described=described,
        with_rest=True,
    )
    yield from (f"{_NAME}: {note}" for note in coverage.notes(network.module, reach))


def _achieved(pruned: Network, start: _Start, config: FilterPruning) -> str:
    """Raise InvalidCandidate if the target was missed by more than the tolerance."""
    assert config.target != "channels"
    share = 1 - start.meter.read(pruned.module).of(config.target) / start.cost.of(config.target)
    if share < config.ratio - targets.TOLERANCE:
        raise InvalidCandidate(
            f"{_NAME} can remove {share:.1%} of the {config.target}, {config.ratio:.1%} was asked: "
            "ask for less, exclude fewer layers, or lower round_to or keep_at_least"
        )
    return f"{_NAME}: removed {share:.1%} of the {config.target}, {config.ratio:.1%} was asked"


def _trained(config: FilterPruning) -> tuple[str, ...]:
    between = config.step_epochs * (config.steps - 1)
    if config.slimming_epochs + between == 0:
        return ()
    return (
        f"{_NAME}: trained {config.slimming_epochs} epochs for sparsity and {between} between the "
        "steps, beside the epochs of the rungs",
    )


def _noted(compressed: CompressedModel, notes: tuple[str, ...]) -> CompressedModel:
    return compressed.evolve(notes=compressed.notes + notes)
