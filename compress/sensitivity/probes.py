"""Probe how far a trained network's answers move if one part of it is made cheaper.

The damage of a probe is the mean over images of the Kullback-Leibler divergence between the
network's answers ``p`` and those of the probed network ``q``,

    damage = mean_n sum_k p_nk (log p_nk - log q_nk)        [nats]

as in ZeroQ (Cai et al., arXiv:2001.00281, equation 5), which adds up the damages of layers to
choose bits. Deviation: the images are training images, and a part may also be a stage or a group
of channels, with BatchNorm re-estimated on the same images. Nothing is trained and no file is
written. A layer's few bits are the grid of ``quantization``'s defaults without its correction of
means, so the damage is an upper estimate.

Legend: N images, K classes, O channels of a group.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.network import layers
from compress.network.layers import WeightedLayer
from compress.network.network import Network
from compress.network.structure import channels
from compress.network.structure.channel_groups import ChannelGroup, Channels
from compress.network.structure.importance import Evidence, importance
from compress.sensitivity.document import (
    MOST_DAMAGE,
    MOST_PARTS,
    GroupProfile,
    LayerProfile,
    ProfileDocument,
    StageProfile,
)
from compress.sensitivity.rounds import ROUNDS, Answer, ProbedPoints, Step
from compress.tasks.answers import CLASSES, Answers
from compress.tasks.images import Images
from compress.techniques.filter_pruning.strategies import Ranked
from compress.techniques.quantization.constraint import GridConstraint, Sharing
from compress.techniques.quantization.observers import GridRule
from compress.training import batchnorm, calibration, inference
from compress.training.context import TrialContext
from compress.values.errors import InvalidCandidate, NumericalError, Stopped
from compress.values.revision import ENGINE_REVISION

_NAME = "profile"
_ROUND_TO = 2
_DIGITS = 6
OnProgress = Callable[[float], None]
"""Told the share of all probes that are made."""


@dataclass(frozen=True, kw_only=True)
class ProbeRequest:
    """How many training images to probe on, for how long (None: no limit), and of which files."""

    images: int
    allowed_seconds: float | None
    weights_sha256: str
    data_sha256: str


def divergence(own_NK: Tensor, probed_NK: Tensor, *, answers: Answers = CLASSES) -> float:
    """Return the mean divergence in nats of probed answers from a network's own.

    ``answers`` say what outputs mean. Raises NumericalError for outputs that are not finite.
    """
    found = float(answers.divergence(own_NK.double(), probed_NK.double()))
    if found != found:
        raise NumericalError("a probe answers with logits that are not finite")
    return float(f"{min(max(found, 0.0), MOST_DAMAGE):.{_DIGITS}g}")


def entropy(symbols: NDArray[np.int8]) -> float:
    """Return the least bits per symbol of any code of single symbols (Shannon, 1948, section 6)."""
    counts = np.unique(symbols, return_counts=True)[1]
    shares = counts / counts.sum()
    return abs(float(f"{-(shares * np.log2(shares)).sum():.{_DIGITS}g}"))


def probe(
    network: Network,
    context: TrialContext,
    wanted: ProbeRequest,
    *,
    on_progress: OnProgress,
    clock: Callable[[], float] = time.perf_counter,
) -> ProfileDocument:
    """Probe layer by layer, stage by stage and group by group, coarse values first.

    Probes that exceed the time limit, by a ``clock`` of seconds, are missing from the document.
    Equal networks and images give equal damages. Raises InvalidCandidate for a network without
    a graph or with too many parts, InvalidData for images that do not fit, NumericalError, and
    Stopped.
    """
    work = _Work(network=network, context=context, images=_images(network, context, wanted))
    if max(len(work.layers), len(work.found.groups)) > MOST_PARTS:
        raise InvalidCandidate(
            f"{_NAME}: the network has {len(work.layers)} layers and {len(work.found.groups)} "
            f"groups of channels, and at most {MOST_PARTS} are probed: leave profile out"
        )
    started, plan, points = clock(), list(work.plan()), ProbedPoints()
    made = 0
    for step in plan:
        spent = clock() - started
        if wanted.allowed_seconds is not None and spent >= wanted.allowed_seconds:
            break
        if context.should_stop():
            raise Stopped(f"{_NAME}: stopped after {made} of {len(plan)} probes")
        work.make(step, points)
        made += 1
        on_progress(made / len(plan))
    return ProfileDocument(
        engine_revision=ENGINE_REVISION,
        weights_sha256=wanted.weights_sha256,
        data_sha256=wanted.data_sha256,
        images=len(work.images),
        accuracy=work.accuracy(work.own),
        seconds=round(clock() - started, 3),
        allowed_seconds=wanted.allowed_seconds,
        probes=made,
        planned=len(plan),
        layers=tuple(work.layer_profiles(points)),
        stages=tuple(work.stage_profiles(points)),
        groups=tuple(work.group_profiles(points)),
    )


@dataclass(frozen=True, kw_only=True)
class _Work:
    """The network, the images, and what all probes share."""

    network: Network
    context: TrialContext
    images: Images

    @cached_property
    def own(self) -> Tensor:
        return self._logits(self.network)

    @cached_property
    def copied(self) -> Network:
        """A copy whose weights are changed and restored."""
        return replace(self.network, module=copy.deepcopy(self.network.module).eval())

    @cached_property
    def layers(self) -> tuple[WeightedLayer, ...]:
        return layers.trained(self.copied, technique=_NAME)

    @cached_property
    def by_name(self) -> dict[str, WeightedLayer]:
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def found(self) -> Channels:
        return channels.find(self.network)

    @property
    def stages(self) -> list[int]:
        return sorted({group.stage for group in self.found.groups})

    def plan(self) -> Iterator[Step]:
        """Yield every probe, in the order of the rounds."""
        for each in ROUNDS:
            if each.stage_ratio is not None:
                for stage in self.stages:
                    yield Step(part=("stage", stage), value=each.stage_ratio)
            if each.bits is not None:
                for layer in self.layers:
                    yield Step(part=("layer", layer.name), value=each.bits)
            if each.group_ratio is not None:
                for group in self.found.groups:
                    yield Step(part=("group", group.root), value=each.group_ratio)

    def make(self, step: Step, points: ProbedPoints) -> None:
        """Make one probe. A part without which the network does not run gets no point."""
        kind, name = step.part
        coded = None
        if kind == "layer":
            probed_NK, coded = self._rounded(self.by_name[str(name)], int(step.value))
        else:
            groups = [g for g in self.found.groups if name in (g.stage, g.root)]
            try:
                probed_NK = self._logits(self._narrowed(groups, step.value))
            except InvalidCandidate:
                return
        damage = divergence(self.own, probed_NK, answers=self.context.task.answers)
        accuracy = self.accuracy(probed_NK)
        points.add(step, Answer(damage=damage, accuracy=accuracy, coded=coded))

    def accuracy(self, logits_NK: Tensor) -> float:
        return float(f"{self.context.task.score(logits_NK, self.images.y_N):.{_DIGITS}g}")

    @torch.no_grad()
    def _rounded(self, layer: WeightedLayer, bits: int) -> tuple[Tensor, float]:
        """Return logits with this one layer on a grid, and bits per weight; the weight is reset."""
        weight = layers.latent(layer.module)
        own = weight.clone()
        grid = GridConstraint(layer, GridRule(bits=bits), Sharing())
        weight.copy_(grid.rounded(own))
        try:
            return self._logits(self.copied), entropy(grid.stored(own).integers_OI)
        finally:
            weight.copy_(own)

    def _narrowed(self, groups: Sequence[ChannelGroup], ratio: float) -> Network:
        removed: dict[str, Tensor] = {}
        for group in groups:
            importance_O = importance(group, name="l2", evidence=Evidence())
            ranked = Ranked(group=group, importance_O=importance_O, original=group.num_channels)
            count = ranked.kept(ratio, round_to=_ROUND_TO)
            if count < group.num_channels:
                removed[group.root] = channels.least_important(group, importance_O, count)
        if not removed:
            return self.network
        smaller = channels.remove(self.network, self.found, removed)
        # Decided by all images, whatever the job says: profiles are shared between jobs.
        augmented = self.context.task.decided("auto", self.context.data.train)
        return batchnorm.reestimate(
            smaller,
            self.images,
            task=self.context.task,
            device=self.context.device,
            augment=augmented,
            like=self.network,
        )

    def _logits(self, network: Network) -> Tensor:
        return inference.logits(
            network,
            self.images.x_NCHW,
            device=self.context.device,
            should_stop=self.context.should_stop,
        )

    def layer_profiles(self, points: ProbedPoints) -> Iterator[LayerProfile]:
        positions = layers.output_positions(self.network)
        writes, reads = _stages(self.found)
        for layer in self.layers:
            yield LayerProfile(
                name=layer.name,
                weights=layer.num_weights,
                outputs=len(layers.latent(layer.module)),
                macs=layer.num_weights * positions[layer.name],
                writes=writes.get(layer.name),
                reads=reads.get(layer.name),
                points=points.of_layer(layer.name),
            )

    def stage_profiles(self, points: ProbedPoints) -> Iterator[StageProfile]:
        for stage in self.stages:
            yield StageProfile(stage=stage, points=points.of_channels("stage", stage))

    def group_profiles(self, points: ProbedPoints) -> Iterator[GroupProfile]:
        for group in self.found.groups:
            yield GroupProfile(
                root=group.root,
                stage=group.stage,
                channels=group.num_channels,
                points=points.of_channels("group", group.root),
            )


def _stages(found: Channels) -> tuple[dict[str, int], dict[str, int]]:
    """Return the stages whose ratios remove a layer's outputs and its inputs, the last if many."""
    writes: dict[str, int] = {}
    reads: dict[str, int] = {}
    for group in found.groups:
        for member in group.members:
            if member.kind in ("filter", "depthwise"):
                writes[member.layer] = group.stage
            elif member.kind == "reader":
                reads[member.layer] = group.stage
    return writes, reads


def _images(network: Network, context: TrialContext, wanted: ProbeRequest) -> Images:
    """Return evenly spaced training images, the same whatever the job's seed."""
    train = context.data.train
    calibration.check(train, input_shape=network.input_shape)
    taken = min(wanted.images, len(train))
    rows_N = torch.linspace(0, len(train) - 1, taken, dtype=torch.float64).round().long()
    return Images(x_NCHW=train.x_NCHW[rows_N], y_N=train.y_N[rows_N])
