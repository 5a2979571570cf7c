"""BatchNorm put back where a file has folded it away, for training; the network answers as before.

Without it recovery needs learning rates ten times smaller, and there are no statistics to measure
anew after channels have left. A norm whose statistics are those of its input, with ``gamma`` the
deviation and ``beta`` the mean, changes nothing: export folds it into its layer again
(``compress.network.folding``).

Behind a layer with a norm, a step of gradient descent turns the weights the further the smaller
they are: the effective rate is the rate over the square of their length (van Laarhoven,
arXiv:1706.05350, section 2). What was folded has left weights of any length: those that read pixels
from 0 to 255 are a hundred times shorter than usual, and the first steps would destroy them. So
the weights of each layer are brought to about the usual length, which the norm behind undoes.

Legend: N images, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log2, prod

import numpy as np
import torch
from torch import Tensor, nn

from compress.network.graph.rewiring import free_name, names_of, without_dead_code
from compress.network.graph.shapes import bind
from compress.network.graph.values import Array, Graph, Node, Shapes
from compress.network.graph.view.absorbing import absorb
from compress.network.graph.view.module import GraphModule
from compress.network.network import Network
from compress.network.running import foreign
from compress.network.signature import BATCH
from compress.tasks.images import Images
from compress.training import calibration, inference

_IMAGES = 512
_BATCH_SIZE = 64
_EPSILON = 1e-5
_MAP = 3
_FILTER_LENGTH = 2.0
"""Mean length of a layer's filters; those of published networks for CIFAR-10 have 1.4 to 2.2."""
_PARTS = ("weight", "bias", "running_mean", "running_var")
_Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


def reinserted(network: Network, images: Images, *, device: torch.device) -> Network:
    """A network that answers alike, with a BatchNorm behind every convolution with a bias.

    Only an imported network without any BatchNorm gets them, as its exporter must have folded them;
    any other is returned as it is. A convolution of one position, such as a gate's, and one that
    gives the answer had none. Raises InvalidData when there is no image of the right shape.
    """
    module = network.module
    if not isinstance(module, GraphModule) or _has_norms(module):
        return network
    graph = absorb(module, module.program, is_open=True)
    shapes = bind(graph, {BATCH: 2})
    folded = {node.name: node for node in graph.nodes if _lost_norm(node, graph, shapes)}
    if not folded:
        return network
    layers = {
        call.layer: call.node.name
        for call in module.program.calls
        if call.node.name in folded and isinstance(module.get_submodule(call.layer), _Convolution)
    }
    moments = _measured(network, tuple(layers), images, device=device)
    with_norms = graph
    for layer, node in layers.items():
        with_norms = _behind(with_norms, node, layer, moments[layer])
    with_norms = without_dead_code(with_norms)
    whole = GraphModule(with_norms, bind(with_norms, {BATCH: 2}), staying=module.staying)
    return replace(network, module=whole)


@dataclass
class _Moments:
    """Sums over all values of a channel, float64."""

    count: int = 0
    sum_C: Tensor | float = 0.0
    squares_C: Tensor | float = 0.0

    def add(self, y: Tensor) -> None:
        """Count the values of a batch, channels second."""
        values = y.double().transpose(0, 1).flatten(1)
        self.count += values.shape[1]
        self.sum_C = self.sum_C + values.sum(1)
        self.squares_C = self.squares_C + values.square().sum(1)

    def mean_and_variance(self) -> tuple[Array, Array]:
        """Both per channel, float64."""
        assert isinstance(self.sum_C, Tensor)
        assert isinstance(self.squares_C, Tensor)
        mean_C = self.sum_C / self.count
        variance_C = (self.squares_C / self.count - mean_C.square()).clamp_min(0.0)
        return mean_C.cpu().numpy(), variance_C.cpu().numpy()


@torch.no_grad()
def _measured(
    network: Network, layers: tuple[str, ...], images: Images, *, device: torch.device
) -> Mapping[str, _Moments]:
    """What these layers put out for some of the images."""
    x_NCHW = calibration.sample(images, num_images=_IMAGES, input_shape=network.input_shape)
    module = inference.copied_to(device, network).eval()
    prepare = inference.preparation_of(network, device)
    found = {layer: _Moments() for layer in layers}
    for layer, moments in found.items():
        part = module.get_submodule(layer)
        part.register_forward_hook(lambda _, __, y, moments=moments: moments.add(y))
    for x_BCHW in x_NCHW.split(_BATCH_SIZE):
        foreign.run(module, prepare(x_BCHW.to(device)))
    return found


def _has_norms(module: nn.Module) -> bool:
    norms = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
    return any(isinstance(part, norms) for part in module.modules())


def _lost_norm(node: Node, graph: Graph, shapes: Shapes) -> bool:
    """Whether a BatchNorm may have been folded into the node."""
    if node.op != "Conv" or len(node.inputs) < _MAP or node.inputs[2] not in graph.tensors:
        return False
    positions = prod(shapes.get(node.output, (1, 1))[2:])
    return positions > 1 and node.output not in {port.name for port in graph.outputs}


def _behind(graph: Graph, node_name: str, layer: str, moments: _Moments) -> Graph:
    """The graph with a norm behind one node, in which its bias is."""
    [conv] = [node for node in graph.nodes if node.name == node_name]
    mean_C, variance_C = moments.mean_and_variance()
    bias_C = graph.tensors[conv.inputs[2]].astype(np.float64)
    factor = _lengthening(graph, conv.inputs[1])
    name = free_name(f"{layer}_norm", {node.name for node in graph.nodes})
    held = {
        f"{name}.weight": np.sqrt(variance_C + _EPSILON / factor**2),
        f"{name}.bias": mean_C,
        f"{name}.running_mean": (mean_C - bias_C) * factor,
        f"{name}.running_var": variance_C * factor**2,
        conv.inputs[1]: graph.tensors[conv.inputs[1]] * factor,
    }
    bare = free_name(f"{conv.output}.bare", names_of(graph))
    norm = Node(
        op="BatchNormalization",
        name=name,
        inputs=(bare, *(f"{name}.{part}" for part in _PARTS)),
        outputs=conv.outputs,
        attributes={"epsilon": _EPSILON},
    )
    layer_alone = replace(conv, inputs=conv.inputs[:2], outputs=(bare,))
    nodes = [each for n in graph.nodes for each in ((layer_alone, norm) if n is conv else (n,))]
    tensors = {key: values.astype(np.float32) for key, values in held.items()}
    return replace(graph, nodes=tuple(nodes), tensors={**graph.tensors, **tensors})


def _lengthening(graph: Graph, weight: str) -> float:
    """The power of two, so that nothing is rounded, that brings filters to the usual length.

    Weights that others read too, and zeros, keep theirs.
    """
    is_shared = sum(node.inputs.count(weight) for node in graph.nodes) > 1
    filters_C = graph.tensors[weight].astype(np.float64)
    length = float(np.linalg.norm(filters_C.reshape(len(filters_C), -1), axis=1).mean())
    return 1.0 if is_shared or length == 0 else 2.0 ** round(log2(_FILTER_LENGTH / length))
