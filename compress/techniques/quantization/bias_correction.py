"""Bring the statistics of every layer's output back to what they were before rounding.

Nagel et al., arXiv:1906.04721, section 4.2: ``E[W x]`` of the float network minus that of the
quantized one goes into the bias. Both are measured (their appendix D), layer by layer in the order
of execution: when a layer is corrected, those before it already are.

Where a BatchNorm follows, its running mean takes the correction, and its running variance that of
the scale: rounding to few levels also shrinks or stretches an output (Banner et al.,
arXiv:1810.05723, section 4, correct both for the weights). With ``m, v`` the mean and the variance
of the float output on the calibration images and ``m', v'`` those of the quantized one, BatchNorm's
``mu, sigma`` become

    sigma' = sigma r,    mu' = m' - (m - mu) r,    r = sqrt(v' / v)

so that its output has the mean and the variance that it had. Measuring its statistics anew
(``compress.training.batchnorm``) would replace those of the training by those of the calibration.

Legend: O output channels, B images, P positions of a channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from compress.network.layers import Norm, WeightedLayer
from compress.network.running import foreign

# A variance can become zero where rounding switches a channel off; the ratio may not.
_LEAST_RATIO, _LARGEST_RATIO = 0.25, 4.0

Watch = Callable[[WeightedLayer, Tensor], Tensor | None]
"""Told a layer and its output; what it returns, if anything, replaces the output."""


@dataclass(frozen=True, kw_only=True)
class OutputStatistics:
    """Mean and variance of every output channel over images and positions."""

    mean_O: Tensor
    variance_O: Tensor


@torch.no_grad()
def output_statistics(
    module: nn.Module, found: Sequence[WeightedLayer], x_BCHW: Tensor
) -> dict[str, OutputStatistics]:
    """Measure the statistics of these layers' outputs, by name."""
    statistics: dict[str, OutputStatistics] = {}

    def note(layer: WeightedLayer, output: Tensor) -> None:
        statistics[layer.name] = _statistics(layer, output)

    _watch(module, found, x_BCHW, note)
    return statistics


@torch.no_grad()
def correct_(
    module: nn.Module,
    found: Sequence[WeightedLayer],
    x_BCHW: Tensor,
    *,
    before: Mapping[str, OutputStatistics],
    spread: bool = True,
) -> tuple[str, ...]:
    """Restore these statistics of the layers' outputs, in place, in one pass.

    Without ``spread`` only the means are corrected. Returns the names of the layers that have
    neither BatchNorm nor bias, and so nothing to correct.
    """

    def correct(layer: WeightedLayer, output: Tensor) -> Tensor | None:
        now, wanted = _statistics(layer, output), before[layer.name]
        if layer.norm is not None and layer.norm.running_mean is not None:
            _correct_norm_(layer.norm, now=now, wanted=wanted, spread=spread)
            return None
        if layer.module.bias is None:
            return None
        shift_O = now.mean_O - wanted.mean_O
        layer.module.bias.sub_(shift_O)
        return output - _along_channels(layer, shift_O, output)

    _watch(module, found, x_BCHW, correct)
    return tuple(each.name for each in found if each.norm is None and each.module.bias is None)


def _correct_norm_(
    norm: Norm, *, now: OutputStatistics, wanted: OutputStatistics, spread: bool
) -> None:
    assert norm.running_mean is not None  # the caller has looked
    assert norm.running_var is not None  # kept wherever the mean is
    ratio_O = (now.variance_O / wanted.variance_O.clamp_min(1e-12)).sqrt()
    ratio_O = ratio_O.clamp(_LEAST_RATIO, _LARGEST_RATIO) if spread else torch.ones_like(ratio_O)
    norm.running_mean.copy_(now.mean_O - (wanted.mean_O - norm.running_mean) * ratio_O)
    # The factor is 1 / sqrt(variance + epsilon): epsilon grows with the variance, and back.
    squared_O = (norm.running_var + norm.eps) * ratio_O.square()
    norm.running_var.copy_((squared_O - norm.eps).clamp_min(0))


def _watch(module: nn.Module, found: Sequence[WeightedLayer], x_BCHW: Tensor, watch: Watch) -> None:
    """Run the module on the images and pass the layers' outputs to ``watch``."""

    def hook(
        layer: WeightedLayer, part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
    ) -> Tensor | None:
        return watch(layer, output)

    handles = [each.module.register_forward_hook(partial(hook, each)) for each in found]
    try:
        foreign.run(module, x_BCHW)
    finally:
        for handle in handles:
            handle.remove()


def _statistics(layer: WeightedLayer, output: Tensor) -> OutputStatistics:
    """Measure every channel's mean and variance, in two passes over rows of one image and channel.

    ``torch.var_mean`` goes value by value: 19 ms for 256 images of 16 channels and 32 pixels a
    side, nearly what their convolution takes, against 4 ms.
    """
    axis = layer.view.channel_axis
    channels = output.shape[axis]
    output_BOP = output.movedim(axis, 1).reshape(len(output), channels, -1)
    mean_O = output_BOP.mean(2).mean(0)
    norm_BO = torch.linalg.vector_norm(output_BOP - mean_O[:, None], dim=2)
    variance_O = norm_BO.square().sum(0) * (channels / output.numel())
    return OutputStatistics(mean_O=mean_O, variance_O=variance_O)


def _along_channels(layer: WeightedLayer, values_O: Tensor, output: Tensor) -> Tensor:
    shape = [1] * output.ndim
    shape[layer.view.channel_axis] = len(values_O)
    return values_O.view(shape)
