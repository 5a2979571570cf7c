"""Files as users upload them: ports of their own, images in either order, probabilities."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from compress.network.graph.read import read
from compress.network.graph.rewiring import renamed
from compress.network.graph.values import Graph, GraphPort, Node
from compress.network.graph.write import write
from compress.network.network import Network
from compress.network.sources import onnx
from compress.tasks.images import ImageData, Images
from tests.compress import networks
from tests.compress.onnx_networks import IMAGES, exported

CLASSES = 5
METADATA = {"author": "someone", "licence": "theirs"}
INPUT, OUTPUT, BATCH = "serving_default_images:0", "PartitionedCall:0", "batch size"


def uploaded(name: str = "residual", *, folded: bool = False) -> bytes:
    """A network with channels first that answers logits, with names and metadata of its own."""
    return _written(_graph(name, folded=folded), INPUT, OUTPUT)


def tensorflow_like(name: str = "residual", *, folded: bool = False) -> bytes:
    """The same as converters from TensorFlow write it: images with channels last, probabilities."""
    graph = _graph(name, folded=folded)
    front = Node(
        op="Transpose",
        name="to_nchw",
        inputs=(INPUT,),
        outputs=("first",),
        attributes={"perm": (0, 3, 1, 2)},
    )
    end = Node(op="Softmax", name="softmax", inputs=("scores",), outputs=(OUTPUT,))
    inside = tuple(renamed(node, {"input": "first", "answer": "scores"}) for node in graph.nodes)
    return _written(replace(graph, nodes=(front, *inside, end)), INPUT, OUTPUT, last=True)


def written_by_hand(module: nn.Module, *, shape: tuple[int, int, int] = IMAGES) -> Network:
    """Any module that answers images with logits, as the network of its own file."""
    return onnx.load(networks.exported(module, shape), input_shape=shape, num_classes=CLASSES)


def network_of(data: bytes) -> Network:
    """The network of a file for the images of ``pictures``."""
    return onnx.load(data, input_shape=IMAGES, num_classes=CLASSES)


def pictures(count: int = 160) -> ImageData:
    """Images in which the class is the colour that is brighter: one, all of them or none."""
    return ImageData(
        train=_pictures(count, seed=0),
        validation=_pictures(count // 2, seed=1),
        test=None,
        num_classes=CLASSES,
    )


def _pictures(count: int, *, seed: int) -> Images:
    generator = torch.Generator().manual_seed(seed)
    x_NCHW = torch.rand(count, *IMAGES, generator=generator)
    y_N = torch.arange(count) % CLASSES
    for colour in range(3):
        x_NCHW[(y_N == colour) | (y_N == 3), colour] += 1.0
    return Images(x_NCHW=x_NCHW, y_N=y_N)


def _graph(name: str, *, folded: bool) -> Graph:
    return read(exported(name, folded=folded))


def _written(graph: Graph, taken: str, answered: str, *, last: bool = False) -> bytes:
    channels, height, width = IMAGES
    sizes = (height, width, channels) if last else (channels, height, width)
    names = {"input": taken, "answer": answered}
    found = replace(
        graph,
        inputs=(GraphPort(name=taken, dtype="float32", shape=(BATCH, *sizes)),),
        outputs=(GraphPort(name=answered, dtype="float32", shape=(BATCH, CLASSES)),),
        nodes=tuple(renamed(node, names) for node in graph.nodes),
        metadata=METADATA,
    )
    return write(found).SerializeToString()
