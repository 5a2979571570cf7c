"""Run members on slices of a larger network's own parameters, so that all of them train it.

The slices are those of ``compress.network.supernet.extraction``. In training every member
normalises by the statistics of its own batch, and the running statistics of the larger network are
never touched: those of one member would be wrong for every other (Yu et al., arXiv:1812.08928,
section 3.1). So a member's statistics are re-estimated once it is cut out.

Legend: B images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from compress.network.families.catalog import Architecture, plan_of
from compress.network.families.network import FamilyNetwork
from compress.network.families.plans import execution
from compress.network.families.plans.plan import Conv, Linear, Norm, Pad, Plan
from compress.network.running import strided
from compress.network.supernet import extraction


class SharedMember(nn.Module):
    """A member of a larger network, whose parameters and mode are those of that network.

    Raises InvalidCandidate if the member is no part of it.
    """

    def __init__(self, whole: FamilyNetwork, member: Architecture) -> None:
        super().__init__()
        self.whole = whole
        first, *_, last = whole.plan.layers
        self.plan: Plan = plan_of(member, in_channels=first.inputs, num_classes=last.outputs)
        extraction.check(whole.plan, self.plan)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits ``(B, K)`` of normalised images."""
        return execution.run(self.plan, x_BCHW, self)

    def convolve(self, layer: Conv | Pad, x_BCHW: Tensor) -> Tensor:
        """Apply the convolution and its BatchNorm, without the activation."""
        conv = self.whole.get_submodule(layer.name)
        weight, bias = _sliced(conv, layer)
        if isinstance(layer, Pad):
            return strided.pointwise(x_BCHW, weight, stride=(layer.stride, layer.stride))
        if weight.shape[2:] == (1, 1) and layer.zeros == (0, 0):
            y_BCHW = strided.pointwise(
                x_BCHW, weight, bias, stride=layer.steps, groups=layer.groups
            )
        else:
            y_BCHW = functional.conv2d(
                x_BCHW, weight, bias, stride=layer.stride, padding=layer.zeros, groups=layer.groups
            )
        return y_BCHW if layer.norm is None else self._normalised(layer.norm, y_BCHW)

    def normalise(self, layer: Norm, x_BCHW: Tensor) -> Tensor:
        """Apply the BatchNorm, without the activation."""
        return self._normalised(layer.name, x_BCHW)

    def multiply(self, layer: Linear, x_BC: Tensor) -> Tensor:
        """Apply the linear layer, without the activation."""
        weight, bias = _sliced(self.whole.get_submodule(layer.name), layer)
        return functional.linear(x_BC, weight, bias)

    def end_stage(self, stage: int, x_BCHW: Tensor) -> Tensor:
        """Return the output of the stage."""
        return x_BCHW

    def _normalised(self, name: str, y_BCHW: Tensor) -> Tensor:
        norm = self.whole.get_submodule(name)
        assert isinstance(norm, nn.BatchNorm2d)
        channels = y_BCHW.shape[1]
        weight, bias = norm.weight[:channels], norm.bias[:channels]
        if norm.training:
            return functional.batch_norm(y_BCHW, None, None, weight, bias, True, eps=norm.eps)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = norm.running_mean[:channels], norm.running_var[:channels]
        return functional.batch_norm(y_BCHW, mean, variance, weight, bias, eps=norm.eps)


def _sliced(module: nn.Module, layer: Conv | Pad | Linear) -> tuple[Tensor, Tensor | None]:
    """Return the layer's slices of the weight and the bias of a larger one."""
    weight = module.get_parameter("weight")
    shape = _shape(layer)
    bias = dict(module.named_parameters(recurse=False)).get("bias")
    return extraction.cut(weight, shape), None if bias is None else bias[: shape[0]]


def _shape(layer: Conv | Pad | Linear) -> tuple[int, ...]:
    match layer:
        case Conv():
            return layer.shape
        case Pad():
            return (layer.outputs, layer.inputs, 1, 1)
        case Linear():
            return (layer.outputs, layer.inputs)
