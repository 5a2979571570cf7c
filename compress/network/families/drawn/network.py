"""The torch network of a drawn family: new, and with the weights of a file."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from compress.network.families.drawn.catalog import (
    DEVIATION,
    MEAN,
    DrawnArchitecture,
    draw,
    signature,
)
from compress.network.families.drawn.sketch import Drawing
from compress.network.graph.values import Array, Graph, Shapes
from compress.network.graph.view.module import GraphModule
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.signature import ExampleShape
from compress.values.errors import InvalidWeights
from compress.values.shown import some

_STATISTICS = (".running_mean", ".running_var", f".{DEVIATION}", f".{MEAN}")


class DrawnModule(GraphModule):
    """The torch view of a drawn network that nothing has taken channels from."""

    def __init__(self, graph: Graph, shapes: Shapes) -> None:
        super().__init__(graph, shapes)
        self.layout = {name: tensor.shape for name, tensor in _learned(self).items()}

    @property
    def is_whole(self) -> bool:
        """Whether its layers are those that it was drawn with."""
        return self.layout == {name: tensor.shape for name, tensor in _learned(self).items()}


def fresh(
    architecture: DrawnArchitecture,
    *,
    normalisation: Normalisation,
    input_shape: ExampleShape,
    num_classes: int,
    seed: int,
) -> Network:
    """Make a network of the architecture with new weights, the same for the same seed.

    Raises InvalidCandidate for an architecture that is not fitted to such examples.
    """
    drawing = draw(architecture, input_shape=input_shape, num_classes=num_classes)
    return Network(
        module=_module(drawing, drawing.filled(seed)),
        normalisation=normalisation,
        input_shape=input_shape,
        num_classes=num_classes,
        ports=signature(architecture, input_shape=input_shape, num_classes=num_classes),
        optimiser="adam",
    )


def aimed(network: Network, targets: Tensor) -> Network:
    """Return a new network whose answers begin with mean and deviation of the targets.

    ``targets`` are ``(N,)`` or ``(N, T)``; a network that predicts no numbers stays as it is.
    """
    module = copy.deepcopy(network.module)
    values_NT = targets.reshape(len(targets), -1).double()
    std_T = values_NT.std(dim=0, correction=0)
    units = {MEAN: values_NT.mean(dim=0), DEVIATION: torch.where(std_T > 0, std_T, 1.0)}
    held = {name: name.rpartition(".")[2] for name in module.state_dict()}
    found = {name: units[last].float() for name, last in held.items() if last in units}
    if not found:
        return network
    module.load_state_dict(found, strict=False)
    return replace(network, module=module)


def loaded(
    architecture: DrawnArchitecture,
    tensors: Mapping[str, Tensor],
    *,
    normalisation: Normalisation,
    input_shape: ExampleShape,
    num_classes: int,
) -> Network:
    """Make the network of the weights that ``weights`` has returned of one.

    Raises InvalidWeights naming tensors that are missing, unknown or of another shape.
    """
    network = fresh(
        architecture,
        normalisation=normalisation,
        input_shape=input_shape,
        num_classes=num_classes,
        seed=0,
    )
    own = weights(network)
    wrong = [
        name
        for name in sorted(own.keys() | tensors.keys())
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape
    ]
    if wrong:
        raise InvalidWeights(
            f"the tensors do not fit the {architecture.family} network: {some(wrong)} are missing, "
            "unknown or of another shape"
        )
    network.module.load_state_dict(dict(tensors), strict=False)
    return network


def weights(network: Network) -> dict[str, Tensor]:
    """Return all that a network has learned, and the statistics of its norms, by their names."""
    return {name: tensor.detach().cpu() for name, tensor in _learned(network.module).items()}


def is_drawn(network: Network) -> bool:
    """Whether the network is as it was drawn, but for the values of its weights."""
    return isinstance(network.module, DrawnModule) and network.module.is_whole


def _learned(module: nn.Module) -> dict[str, Tensor]:
    learned = {name for name, _ in module.named_parameters()}
    return {
        name: tensor
        for name, tensor in module.state_dict().items()
        if name in learned or name.endswith(_STATISTICS)
    }


def _module(drawing: Drawing, tensors: Mapping[str, Array]) -> DrawnModule:
    return DrawnModule(replace(drawing.graph, tensors=tensors), drawing.bound(2))
