"""Predict how many channels stay of every group, before anything is built. Torch-free.

It is what ``apply`` does to the widths, step by step. A global ranking depends on the weights, and
the bytes of a file on norms that no layer folds: neither can be known before.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from compress.network.outline import GroupInfo
from compress.network.structure.narrowing import Narrowing
from compress.techniques.filter_pruning import targets, widths
from compress.techniques.filter_pruning.config import FilterPruning, Scope, Target
from compress.techniques.filter_pruning.widths import Counts, Shrinking
from compress.values import patterns

SCOPES: frozenset[Scope] = frozenset(widths.BY_SCOPE)
TARGETS: frozenset[Target] = frozenset({"channels", "macs", "parameters"})


def predicted(config: FilterPruning, narrowing: Narrowing) -> Mapping[str, int] | None:
    """Return the channels that stay of each group; None if only the weights can tell.

    Raises InvalidCandidate for a pattern that matches no layer.
    """
    if config.scope not in SCOPES or config.target not in TARGETS:
        return None
    groups = _prunable(config, narrowing)
    is_short = config.scope == "stage" and any(g.stage >= len(config.ratios) for g in groups)
    if not config.has_effect or not groups or is_short:
        return {}
    sizes = {group.root: group.num_channels for group in groups}
    for step in range(config.steps):
        shrinking = [Shrinking(group=group, original=sizes[group.root]) for group in groups]
        counts = _counts(shrinking, config, narrowing, share=(step + 1) / config.steps)
        groups = [group.model_copy(update={"num_channels": counts[group.root]}) for group in groups]
    return {group.root: group.num_channels for group in groups}


def _prunable(config: FilterPruning, narrowing: Narrowing) -> list[GroupInfo]:
    layers = [layer for layer in narrowing.outline.layers if layer.kind != "norm"]
    names = [layer.name for layer in layers if layer.has_view is not False]
    spared = set(patterns.matching(config.exclude, names, technique=config.technique))
    return [
        group
        for group in narrowing.coupled.groups
        if spared.isdisjoint(axis.layer for axis in group.axes)
    ]


def _counts(
    shrinking: list[Shrinking], config: FilterPruning, narrowing: Narrowing, *, share: float
) -> Counts:
    counts_at = partial(widths.BY_SCOPE[config.scope], shrinking, config)
    target = config.target
    if target == "channels":
        return counts_at((1.0 if config.scope == "stage" else config.ratio) * share)

    def cost_of(counts: Counts) -> int:
        left = narrowing.without(counts)
        return left.macs if target == "macs" else left.parameters

    goal = cost_of({}) * (1 - config.ratio * share)
    largest = widths.largest_amount(config)
    return targets.nearest(counts_at, largest=largest, cost_of=cost_of, goal=goal)
