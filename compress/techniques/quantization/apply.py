"""Put the weights of a network on grids or in float16, so that it computes as its file will.

Legend: O output channels, S groups of a convolution, K weights of an output channel.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from compress.network import layers
from compress.network.layers import WeightedLayer
from compress.network.network import Network
from compress.network.running import coverage
from compress.network.running.coverage import Reach
from compress.network.stored_weight import StoredWeight
from compress.techniques.compressed import CompressedModel
from compress.techniques.quantization import (
    allocation,
    bias_correction,
    equalisation,
    layer_inputs,
    rounding,
)
from compress.techniques.quantization.bias_correction import OutputStatistics
from compress.techniques.quantization.config import HALF_BITS, Quantization
from compress.techniques.quantization.constraint import GridConstraint, Sharing
from compress.techniques.quantization.half_precision import HalfPrecision
from compress.techniques.quantization.learned_step import LearnedStep
from compress.techniques.quantization.noise import QuantNoise, UniformNoise
from compress.techniques.quantization.observers import GridRule
from compress.techniques.quantization.rounding import MatrixGrid
from compress.training import constraints
from compress.training.context import TrialContext
from compress.values import seeds

_ROUND = {"gptq": rounding.gptq, "adaround": rounding.adaround}


def apply(
    compressed: CompressedModel, config: Quantization, context: TrialContext
) -> CompressedModel:
    """Return a copy whose weights lie on grids; see ``docs/techniques/quantization.md``.

    Raises InvalidCandidate for a pattern that matches no layer, a network that does not run, or
    one that ``equalise`` cannot trace; InvalidData for calibration images of another shape or none;
    NumericalError for a weight or an activation that is not finite.
    """
    module = copy.deepcopy(compressed.network.module).to(context.device).eval()
    work = _Work(network=replace(compressed.network, module=module), config=config, context=context)
    notes = work.run_() + work.not_covered(compressed)
    return compressed.after(
        config,
        network=replace(work.network, module=module.cpu()),
        notes=compressed.notes + tuple(f"quantization: {note}" for note in notes),
    )


@dataclass(frozen=True, kw_only=True)
class _Work:
    """A network being quantized in place, and what its steps share."""

    network: Network
    config: Quantization
    context: TrialContext

    @cached_property
    def layers(self) -> tuple[WeightedLayer, ...]:
        """Every layer whose weight may change, first to last."""
        return layers.trained(self.network, technique="quantization")

    @cached_property
    def chosen(self) -> tuple[WeightedLayer, ...]:
        """The layers that get a grid: not excluded, and not on integers of their own already."""
        kept = layers.trained(self.network, exclude=self.config.exclude, technique="quantization")
        return tuple(layer for layer in kept if not _holds_integers(layer))

    @cached_property
    def affine(self) -> tuple[WeightedLayer, ...]:
        """Those whose outputs are products with their weights, which rounding shifts."""
        return tuple(layer for layer in self.chosen if layer.view.is_affine)

    @cached_property
    def images(self) -> Tensor:
        """Calibration images, prepared."""
        num_images = self.config.calibration_images
        return layer_inputs.calibration_images(self.network, self.context, num_images=num_images)

    @cached_property
    def moments(self) -> Mapping[str, Tensor]:
        """Second moments ``(S, K, K)`` of the inputs of the chosen layers, by name."""
        return layer_inputs.second_moments(self.network.module, self.chosen, self.images)

    def run_(self) -> list[str]:
        """Take all steps in their order, and return the notes."""
        if not self.chosen:
            return ["no layer is left to put on a grid, the weights stay as they are"]
        if not self.config.has_grids:
            for layer in self.chosen:
                constraints.constrain(layer.module, HalfPrecision(layer))
            return []
        notes = self._equalise_()
        bits = self._bits()
        notes += self._bits_given(bits)
        before = self._statistics()
        for index, layer in enumerate(self.chosen):
            self._constrain_(
                layer, bits[layer.name], seed=seeds.derive(self.context.seed, "noise", index)
            )
        return notes + ([] if before is None else self._correct_(before))

    def not_covered(self, before: CompressedModel) -> list[str]:
        """Return the note about weights in other layers."""
        every = {layer.name for layer in self.layers}
        kept = layers.trained(self.network, exclude=self.config.exclude, technique="quantization")
        reached = {layer.name for layer in kept}
        reach = Reach(
            what=f"{self.config.weight_bits}-bit weights",
            reached=reached,
            excluded=every - reached,
        )
        return coverage.notes(before.network.module, reach)

    def _correct_(self, before: Mapping[str, OutputStatistics]) -> list[str]:
        module, images = self.network.module, self.images
        without = bias_correction.correct_(module, self.affine, images, before=before)
        without += tuple(each.name for each in self.chosen if not each.view.is_affine)
        if self.config.granularity == "tensor":
            # The grids follow the spread of BatchNorm, which has changed; then only the means may
            # move, so that the folded weights keep their one scale.
            corrected = bias_correction.output_statistics(module, self.affine, images)
            constraints.refresh(module)
            bias_correction.correct_(module, self.affine, images, before=corrected, spread=False)
        return [f"no bias to correct in {', '.join(without)}"] if without else []

    def _equalise_(self) -> list[str]:
        if not self.config.equalise:
            return []
        pairs = equalisation.pairs(self.network.module, self.chosen)
        changed = equalisation.equalise_(pairs)
        return [] if changed else ["equalise found no two layers to balance"]

    def _statistics(self) -> Mapping[str, OutputStatistics] | None:
        if not self.config.bias_correction:
            return None
        return bias_correction.output_statistics(self.network.module, self.affine, self.images)

    def _bits(self) -> dict[str, int]:
        fixed = allocation.fixed(self.layers, self.config)
        free = [layer for layer in self.chosen if layer.name not in fixed]
        if self.config.allocation == "uniform" or not free:
            return dict.fromkeys((layer.name for layer in free), self.config.weight_bits) | fixed
        sizes = {layer.name: layer.num_weights for layer in free}
        average = self.config.weight_bits + self.config.extra_bits
        budget_bits = average * sum(sizes.values())
        return allocation.spend(self._damage(free), sizes, budget_bits=budget_bits) | fixed

    def _damage(self, free: Sequence[WeightedLayer]) -> dict[str, dict[int, float]]:
        pulls = allocation.output_pulls(
            self.network.module, free, self.images, moments=self.moments, seed=self.context.seed
        )
        return {
            layer.name: allocation.damages(
                layer,
                rounded=partial(self._rounded, layer),
                moment_SKK=self.moments[layer.name],
                pull_O=pulls[layer.name],
            )
            for layer in free
        }

    def _rounded(self, layer: WeightedLayer, bits: int) -> Tensor:
        grid = GridConstraint(layer, self._rule(bits), self._sharing)
        return grid.rounded(layer.module.weight)

    def _bits_given(self, bits: Mapping[str, int]) -> list[str]:
        widths = {layer.name: bits[layer.name] for layer in self.chosen}
        notes: list[str] = []
        if self.config.allocation == "sensitivity":
            notes.append("bits " + ", ".join(f"{name} {width}" for name, width in widths.items()))
        schemes = {self.config.scheme_of(width) for width in widths.values()}
        if self.config.scheme not in schemes:
            notes.append("an affine grid needs 2 to 7 bits, every layer is symmetric")
        return notes

    def _constrain_(self, layer: WeightedLayer, bits: int, *, seed: int) -> None:
        if bits == HALF_BITS:
            constraints.constrain(layer.module, HalfPrecision(layer))
            return
        constraint = self._constraint(layer, bits, seed=seed)
        if self.config.rounding != "nearest":
            self._move_(layer, constraint)
        constraints.constrain(layer.module, constraint)

    def _constraint(self, layer: WeightedLayer, bits: int, *, seed: int) -> GridConstraint:
        rule, sharing = self._rule(bits), self._sharing
        training = "none" if bits == 8 else self.config.training
        match training:
            case "lsq":
                return LearnedStep(layer, rule, sharing)
            case "noise":
                share = self.config.noise_probability
                return QuantNoise(layer, rule, sharing, seed=seed, probability=share)
            case "uniform_noise":
                return UniformNoise(layer, rule, sharing, seed=seed)
            case "straight_through" | "none":
                # Eight bits round too little to train against.
                trains = training == "straight_through"
                return GridConstraint(layer, rule, sharing, trains=trains)

    @torch.no_grad()
    def _move_(self, layer: WeightedLayer, constraint: GridConstraint) -> None:
        """Put the latent weight on the chosen points of the grid; masked weights stay behind.

        Where no two inputs occur together, each weight's nearest point is the best.
        """
        if self.moments[layer.name].ndim == 2:
            return
        weight = layer.module.weight.detach()
        scale, low, high = constraint.expanded(weight)
        has_zero = constraint.rule.bits > 1
        moment_SKK = self.moments[layer.name]
        split = [
            layer.view.matrix(tensor).tensor_split(len(moment_SKK))
            for tensor in (weight, scale, low, high)
        ]
        parts = [
            _ROUND[self.config.rounding](
                weight_OK,
                moment_KK,
                MatrixGrid(scale_OK=scale_OK, low_OK=low_OK, high_OK=high_OK, has_zero=has_zero),
            )
            for weight_OK, scale_OK, low_OK, high_OK, moment_KK in zip(
                *split, moment_SKK, strict=True
            )
        ]
        points = torch.cat(parts).reshape(weight.shape) * scale
        latent = layers.latent(layer.module)
        latent.copy_(torch.where(weight == 0, latent, points))

    @property
    def _sharing(self) -> Sharing:
        return Sharing(granularity=self.config.granularity, group_size=self.config.group_size)

    def _rule(self, bits: int) -> GridRule:
        return GridRule(
            bits=bits,
            scheme=self.config.scheme_of(bits),
            observer=self.config.observer,
            percentile=self.config.percentile,
            reduced_range=self.config.reduced_range,
        )


@torch.no_grad()
def _holds_integers(layer: WeightedLayer) -> bool:
    """Whether an earlier technique, such as a codebook, has decided the weight's values."""
    weight = layers.latent(layer.module)
    for constraint in constraints.on(layer.module):
        if isinstance(constraint.stored(weight), StoredWeight):
            return True
        weight = constraint(weight)
    return False
