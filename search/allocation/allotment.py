"""Allocate ratios per stage and bits per layer within a budget, by a sensitivity profile.

The damages of stages and layers are added up (ZeroQ, arXiv:2001.00281, section 3.2), because it is
not known how pruning and few bits make each other worse. The budget is spent in two steps, each a
knapsack that is solved exactly: first the stages lose channels until a share of the weights is
left, then the bytes are divided among the remaining layers. Costs are estimates: weights times the
bits that each takes in a file, as the probes found them. A file also holds scales, biases and
names.

In the first step the cost of a stage's ratio must not depend on other stages. A layer between two
stages counts half for each, with ``(1 - r)^2`` of its weights left. That is exact if the two ratios
are equal, and a little too much if they differ widely.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from compress.sensitivity.document import LayerProfile, ProfileDocument
from search.allocation import curves, knapsack
from search.allocation.knapsack import Option

Axis = Literal["bytes", "macs"]
FLOAT_BITS = 32
_EDGE_BITS = 8
_EPSILON = 1e-9


@dataclass(frozen=True, kw_only=True)
class Allotment:
    """Ratios by stage, bits by layer, the damage that both are expected to do, and the cost.

    ``share`` is the part that is left of the baseline's bytes of weights or of its MACs.
    """

    ratios: tuple[float, ...]
    bits: Mapping[str, int]
    damage: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The ratios that each stage may have (none without pruning) and the bits of every layer.

    ``bits`` are in increasing order; a single width leaves no choice. ``whole_bits`` are those that
    every weight on a grid takes in the file, whatever its width; None: as many as the probes found.
    """

    ratios: tuple[tuple[float, ...], ...]
    bits: tuple[int, ...]
    axis: Axis
    whole_bits: int | None = None

    @property
    def most(self) -> float:
        """The share of the baseline that the widest bits leave without pruning."""
        if self.axis == "macs" or self.bits[-1] == FLOAT_BITS:
            return 1.0
        return (self.whole_bits or self.bits[-1]) / FLOAT_BITS

    @property
    def chooses_ratios(self) -> bool:
        """True if any stage has more than one ratio to choose from."""
        return any(len(values) > 1 for values in self.ratios)

    @property
    def chooses_bits(self) -> bool:
        """True if there is more than one bit-width to choose from."""
        return self.axis == "bytes" and len(self.bits) > 1


@dataclass(frozen=True, kw_only=True)
class Allotter:
    """Allocates by one profile within one job's choices.

    ``solve`` is ``knapsack.solve``, or ``knapsack.nearly`` if many allocations are needed.
    """

    profile: ProfileDocument
    choices: Choices
    solve: Callable[[Sequence[Sequence[Option]], float], tuple[Option, ...]] = knapsack.solve

    def allot(
        self, share: float, *, pruning: float, sharpness: float, edges_8bit: bool = True
    ) -> Allotment:
        """Return the allotment with the least damage within ``share`` of the baseline.

        Args:
            share: The budget, as a share of the baseline's bytes of weights or of its MACs.
            pruning: The part of the reduction, on a logarithmic scale, that channels bear: 0 leaves
                everything that they can reach to the bits, 1 keeps the widest bits.
            sharpness: How far a stage or a layer may be from the uniform choice, from 0 (uniform)
                to 1 (free).
            edges_8bit: Whether the first and the last layer keep 8 bits.

        Returns:
            The allotment; the nearest one if the share cannot be reached.
        """
        widths = (self.choices.bits[-1:], self.choices.bits)[self.choices.chooses_bits]
        widest = self._share({}, self._uniform_bits(widths[-1], edges_8bit=edges_8bit))
        way = pruning if self.choices.chooses_bits else 1.0
        narrowest = self._share({}, self._uniform_bits(widths[0], edges_8bit=edges_8bit))
        left = min(1.0, (share / widest) ** way, share / narrowest)
        ratios = self._ratios(left, sharpness)
        bits = self._bits(share, ratios, widths, sharpness, edges_8bit=edges_8bit)
        return Allotment(
            ratios=tuple(ratios[stage] for stage in range(len(self.choices.ratios))),
            bits=bits,
            damage=self._damage(ratios, bits),
            share=self._share(ratios, bits),
        )

    def damage_of(self, found: Allotment) -> float:
        """Return the damage that these ratios and bits are expected to do, in nats."""
        return self._damage(dict(enumerate(found.ratios)), found.bits)

    def left_by_layer(self, ratios: Sequence[float]) -> list[float]:
        """Return the number of weights that these ratios, one per stage, leave in every layer."""
        by_stage = dict(enumerate(ratios))
        return [layer.weights * self._keep(layer, by_stage) for layer in self.profile.layers]

    def weights_left(self, ratios: Sequence[float]) -> float:
        """Return the share of the baseline's weights that these ratios, one per stage, leave."""
        return self._left_of(dict(enumerate(ratios)), lambda layer: layer.weights)

    def macs_left(self, ratios: Sequence[float]) -> float:
        """Return the share of the baseline's MACs that these ratios, one per stage, leave."""
        return self._left_of(dict(enumerate(ratios)), lambda layer: layer.macs)

    @property
    def least(self) -> float:
        """The smallest share of the baseline that can be reached."""
        ratios = {stage: values[-1] for stage, values in self._stages.items()}
        return self._share(ratios, self._uniform_bits(self.choices.bits[0], edges_8bit=False))

    def _ratios(self, left: float, sharpness: float) -> dict[int, float]:
        uniform = self._uniform_ratios(left)
        parts = [
            [
                Option(value=r, cost=self._kept(stage, r), damage=self._of_stage(stage, r))
                for r in values
                if abs(r - uniform[stage]) <= sharpness * (values[-1] - values[0]) + _EPSILON
            ]
            for stage, values in self._stages.items()
        ]
        fixed = sum(
            self._size(layer)
            for layer in self.profile.layers
            if layer.writes is None and layer.reads is None
        )
        limit = left * sum(self._size(layer) for layer in self.profile.layers) - fixed
        chosen = self.solve(parts, limit)
        found = dict(zip(self._stages, chosen, strict=True))
        return {stage: option.value for stage, option in found.items()}

    def _uniform_ratios(self, left: float) -> dict[int, float]:
        """The least ratio, each stage at its nearest value, that leaves at most this share."""
        found = {stage: values[0] for stage, values in self._stages.items()}
        for ratio in sorted({r for values in self._stages.values() for r in values}):
            found = {
                stage: min(values, key=lambda r: (abs(r - ratio), r))
                for stage, values in self._stages.items()
            }
            if self._left(found) <= left + _EPSILON:
                break
        return found

    def _bits(
        self,
        share: float,
        ratios: Mapping[int, float],
        widths: Sequence[int],
        sharpness: float,
        *,
        edges_8bit: bool,
    ) -> dict[str, int]:
        uniform = self._uniform_width(share, ratios, widths, edges_8bit=edges_8bit)
        window = sharpness * (widths[-1] - widths[0]) + _EPSILON
        edges = self.edges if edges_8bit else frozenset[str]()
        parts = [
            [
                Option(
                    value=b,
                    cost=self._size(layer) * self._keep(layer, ratios) * self._shortened(layer, b),
                    damage=self._of_layer(layer, b),
                )
                for b in self._widths_of(layer, widths, uniform, window, edges)
            ]
            for layer in self.profile.layers
        ]
        whole = sum(self._size(layer) for layer in self.profile.layers)
        chosen = self.solve(parts, share * whole)
        found = zip(self.profile.layers, chosen, strict=True)
        return {layer.name: int(option.value) for layer, option in found}

    def _widths_of(
        self,
        layer: LayerProfile,
        widths: Sequence[int],
        uniform: int,
        window: float,
        edges: frozenset[str],
    ) -> list[int]:
        """The widths that a layer may have; a layer that was not probed keeps the widest."""
        if layer.name in edges and widths[-1] < FLOAT_BITS:
            return [_EDGE_BITS]
        if not layer.points:
            return [widths[-1]]
        return [bits for bits in widths if abs(bits - uniform) <= window]

    def _uniform_width(
        self, share: float, ratios: Mapping[int, float], widths: Sequence[int], *, edges_8bit: bool
    ) -> int:
        fits = [
            bits
            for bits in widths
            if self._share(ratios, self._uniform_bits(bits, edges_8bit=edges_8bit))
            <= share + _EPSILON
        ]
        return max(fits, default=widths[0])

    def _uniform_bits(self, bits: int, *, edges_8bit: bool) -> dict[str, int]:
        is_float = bits == FLOAT_BITS
        edges = self.edges if edges_8bit and not is_float else frozenset[str]()
        return {
            layer.name: _EDGE_BITS if layer.name in edges else bits for layer in self.profile.layers
        }

    @cached_property
    def _stages(self) -> dict[int, tuple[float, ...]]:
        """The ratios of every stage; a stage that was not probed has only the least."""
        probed = {stage.stage for stage in self.profile.stages if stage.points}
        return {
            stage: values if stage in probed else values[:1]
            for stage, values in enumerate(self.choices.ratios)
        }

    @property
    def edges(self) -> frozenset[str]:
        """The first and the last layer, but for tables of words, which multiply nothing."""
        names = [layer.name for layer in self.profile.layers if layer.macs > 0]
        return frozenset((*names[:1], *names[-1:]))

    @cached_property
    def _whole(self) -> float:
        return float(sum(self._size(layer) for layer in self.profile.layers))

    def _size(self, layer: LayerProfile) -> float:
        return float(layer.weights if self.choices.axis == "bytes" else layer.macs)

    def _keep(self, layer: LayerProfile, ratios: Mapping[int, float]) -> float:
        """Return the share of the layer that is left."""
        ends = (stage for stage in (layer.writes, layer.reads) if stage is not None)
        kept = 1.0
        for stage in ends:
            kept *= 1.0 - ratios.get(stage, 0.0)
        return kept

    def _kept(self, stage: int, ratio: float) -> float:
        """What is left of the layers of a stage; layers shared with a neighbour count half."""
        left = 0.0
        for layer in self.profile.layers:
            ends = [end for end in (layer.writes, layer.reads) if end is not None]
            mine = ends.count(stage) / len(ends) if ends else 0.0
            left += self._size(layer) * mine * (1.0 - ratio) ** len(ends)
        return left

    def _left(self, ratios: Mapping[int, float]) -> float:
        return self._left_of(ratios, self._size)

    def _left_of(self, ratios: Mapping[int, float], size: Callable[[LayerProfile], float]) -> float:
        kept = sum(size(layer) * self._keep(layer, ratios) for layer in self.profile.layers)
        return kept / sum(size(layer) for layer in self.profile.layers)

    def _share(self, ratios: Mapping[int, float], bits: Mapping[str, int]) -> float:
        """The share of the baseline; MACs do not depend on the bits."""
        if self.choices.axis == "macs":
            return self._left(ratios)
        sizes = (
            self._size(layer) * self._keep(layer, ratios) * self._shortened(layer, bits[layer.name])
            for layer in self.profile.layers
        )
        return sum(sizes) / self._whole

    def _damage(self, ratios: Mapping[int, float], bits: Mapping[str, int]) -> float:
        pruned = sum(self._of_stage(stage, ratio) for stage, ratio in ratios.items())
        return pruned + sum(self._of_layer(x, bits[x.name]) for x in self.profile.layers)

    def _of_stage(self, stage: int, ratio: float) -> float:
        points = next((s.points for s in self.profile.stages if s.stage == stage), ())
        return curves.of_ratio(points, ratio) if points else 0.0

    def _of_layer(self, layer: LayerProfile, bits: int) -> float:
        if bits == FLOAT_BITS or not layer.points:
            return 0.0
        return curves.of_bits(layer.points, bits)

    def _shortened(self, layer: LayerProfile, bits: int) -> float:
        """Return the share of a weight's bytes that is left in a file."""
        if bits == FLOAT_BITS:
            return 1.0
        whole = self.choices.whole_bits
        return (curves.coded(layer.points, bits) if whole is None else whole) / FLOAT_BITS
