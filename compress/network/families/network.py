"""The torch network of a plan, and fresh weights for it.

Legend: B images, C channels, H height, W width, O output channels, I input channels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from compress.network.families.catalog import Architecture, plan_of
from compress.network.families.plans import coupling, execution
from compress.network.families.plans.filling import fill_
from compress.network.families.plans.lowering import lower, relative_targets
from compress.network.families.plans.plan import Conv, Layer, Linear, Norm, Pad, Plan
from compress.network.graph.coupling.groups import Couplings
from compress.network.graph.values import Graph, Node, Shapes
from compress.network.graph.view.program import GraphedModule, NodeCall, Program
from compress.network.signature import Signature
from compress.values.errors import InvalidCandidate


class PadShortcut(nn.Conv2d):
    """Option A as an exact convolution: every second pixel, channels padded evenly with zeros.

    Slicing and padding cannot lose a channel, a 1x1 convolution of zeros and ones can: channel
    ``i`` of the input is channel ``i + (O - I) // 2`` of the output. Its weight is never trained.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__(in_channels, out_channels, 1, stride=stride, bias=False)
        self.weight.requires_grad_(False)
        self.weight.copy_(pad_weight(in_channels, out_channels))


def pad_weight(in_channels: int, out_channels: int) -> Tensor:
    """The 0/1 weight ``(O, I, 1, 1)`` of a pad shortcut."""
    offset = (out_channels - in_channels) // 2
    out_O1 = torch.arange(out_channels)[:, None]
    in_1I = torch.arange(in_channels)[None, :]
    return (out_O1 == in_1I + offset).float()[:, :, None, None]


class FamilyNetwork(GraphedModule):
    """A network that runs a plan with layers of its own, named as the plan names them.

    ``architecture`` and ``plan`` are what it was built as; techniques change or replace the layers,
    not this record: where one has been split in two, both run under its name.

    Raises InvalidCandidate where its strides leave nothing of images of its resolution.
    """

    def __init__(self, architecture: Architecture, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        if architecture.too_coarse is not None:
            raise InvalidCandidate(architecture.too_coarse)
        self.architecture = architecture
        self.plan: Plan = plan_of(architecture, in_channels=in_channels, num_classes=num_classes)
        for layer in self.plan.layers:
            _add(self, layer, self.plan.norm_epsilon)
        for stage in range(self.num_stages):
            _put(self, f"stage_ends.{stage}", nn.Identity())

    @property
    def num_stages(self) -> int:
        """Number of stages."""
        return self.plan.num_stages

    def program_for(self, signature: Signature) -> Program:
        """Return the graph of its plan for images of that size; its layers have the plan's names.

        The sizes of a shuffle are those of any number of channels.
        """
        graph = lower(self.plan, signature)
        targets = relative_targets(graph)
        calls = [
            NodeCall(
                node=node,
                layer=node.name if _has_layer(node, graph) else "",
                statics={1: targets[node.name]} if node.name in targets else {},
            )
            for node in graph.nodes
        ]
        return Program(graph=graph, calls=tuple(calls))

    def couplings(self, graph: Graph, shapes: Shapes, layers: Mapping[str, str]) -> Couplings:
        """Find the groups of channels that may leave the plan, not those that it deals out."""
        return coupling.of_plan(graph, shapes, layers)

    def narrowed(self, graph: Graph, shapes: Shapes, layers: Mapping[str, str]) -> FamilyNetwork:
        """Return a copy with narrower layers: the plan runs on as many channels as they have."""
        smaller = copy.deepcopy(self)
        fill_(smaller, graph, layers)
        return smaller

    def stage_of(self, module_name: str) -> int | None:
        """The stage that a module belongs to, None for those of the stem and of the head.

        A layer that has been split counts where it was.
        """
        while module_name:
            if module_name in self.plan.places:
                return self.plan.places[module_name][0]
            module_name = module_name.rpartition(".")[0]
        return None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of normalised images."""
        return execution.run(self.plan, x_BCHW, self)

    def convolve(self, layer: Conv | Pad, x_BCHW: Tensor) -> Tensor:
        """The convolution and its BatchNorm, without the activation."""
        y_BCHW = self.get_submodule(layer.name)(x_BCHW)
        if isinstance(layer, Pad) or layer.norm is None:
            return y_BCHW
        return self.get_submodule(layer.norm)(y_BCHW)

    def normalise(self, layer: Norm, x_BCHW: Tensor) -> Tensor:
        """The BatchNorm, without the activation."""
        return self.get_submodule(layer.name)(x_BCHW)

    def multiply(self, layer: Linear, x_BC: Tensor) -> Tensor:
        """The linear layer, without the activation."""
        return self.get_submodule(layer.name)(x_BC)

    def end_stage(self, stage: int, x_BCHW: Tensor) -> Tensor:
        """What the stage puts out, seen by whoever listens to its end."""
        return self.get_submodule(f"stage_ends.{stage}")(x_BCHW)


def _has_layer(node: Node, graph: Graph) -> bool:
    """Whether a node of a lowered plan is a layer, with weights under its own name."""
    return f"{node.name}.weight" in graph.tensors


def build(
    architecture: Architecture, *, in_channels: int, num_classes: int, seed: int
) -> FamilyNetwork:
    """A network with fresh weights (He et al., arXiv:1502.01852), the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = FamilyNetwork(architecture, in_channels=in_channels, num_classes=num_classes)
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
                _start(module)
    return network.eval()


def pad_shortcuts(module: nn.Module) -> list[tuple[str, PadShortcut]]:
    """The pad shortcuts of a network, by name."""
    return [(name, pad) for name, pad in module.named_modules() if isinstance(pad, PadShortcut)]


def _start(module: nn.Conv2d) -> None:
    """Normal values that keep the variance of what flows back, per group of channels."""
    fan_out = module.out_channels * math.prod(module.kernel_size) / module.groups
    nn.init.normal_(module.weight, 0.0, math.sqrt(2.0) / math.sqrt(fan_out))


def _add(network: nn.Module, layer: Layer, epsilon: float) -> None:
    match layer:
        case Conv():
            _put(network, layer.name, _convolution(layer))
            if layer.norm is not None:
                _put(network, layer.norm, nn.BatchNorm2d(layer.outputs, eps=epsilon))
        case Pad():
            pad = PadShortcut(layer.inputs, layer.outputs, stride=layer.stride)
            _put(network, layer.name, pad)
        case Norm():
            _put(network, layer.name, nn.BatchNorm2d(layer.channels, eps=epsilon))
        case Linear():
            _put(network, layer.name, nn.Linear(layer.inputs, layer.outputs))


def _convolution(layer: Conv) -> nn.Conv2d:
    return nn.Conv2d(
        layer.inputs,
        layer.outputs,
        layer.kernel,
        stride=layer.stride,
        padding=layer.zeros,
        groups=layer.groups,
        bias=layer.bias,
    )


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    """Register a module under a dotted name, with plain containers on the way."""
    *path, last = name.split(".")
    for part in path:
        if part not in dict(network.named_children()):
            network.add_module(part, nn.Module())
        network = network.get_submodule(part)
    network.add_module(last, module)
