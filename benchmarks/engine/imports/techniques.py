"""Which techniques end in a file that passes its gates, for a network that the service takes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from benchmarks.engine.imports.files import ListedFile
from compress import pipeline
from compress.export import writer
from compress.network.graph.read import read
from compress.network.network import Network
from compress.network.sources import onnx
from compress.network.sources.ports import onnx_ports
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.training.context import TrialContext
from compress.values.errors import CompressError

_IMAGES = 64
STEPS: tuple[Mapping[str, object], ...] = (
    {"technique": "filter_pruning", "scope": "uniform", "ratio": 0.25},
    {"technique": "low_rank", "energy": 0.9},
    {"technique": "distillation", "weight": 0.5},
    {"technique": "sparsity", "sparsity": 0.5},
    {"technique": "weight_sharing", "index_bits": 4},
    {"technique": "quantization"},
    {"technique": "mirroring"},
)


def loaded(file: ListedFile, data: bytes) -> Network:
    """The network as the service takes it today. Raises InvalidNetwork with the reason."""
    graph = read(data)
    shape = (file.shape[0], file.shape[1], file.shape[2]) if len(file.shape) == 3 else None
    leaves_open = any(isinstance(size, str) for port in graph.inputs for size in port.shape[1:])
    ports = onnx_ports.example_ports(graph, input_shape=shape if leaves_open else None)
    return onnx.load(data, input_shape=ports.input_shape, num_classes=None)


def gated(network: Network) -> dict[str, str]:
    """Run each technique once on random images: an empty word, or why there is no file.

    Nothing is trained but by distillation, which takes one epoch.
    """
    data = _images(network)
    context = TrialContext(
        data=data,
        device=torch.device("cpu"),
        seed=0,
        task=IMAGE_CLASSIFICATION,
        teacher=network,
    )
    return {str(step["technique"]): _tried(network, step, context) for step in STEPS}


def _tried(network: Network, step: Mapping[str, object], context: TrialContext) -> str:
    candidate = Candidate.model_validate({"steps": [step]})
    try:
        started = pipeline.start(network, candidate, context)
        if step["technique"] == "distillation":
            started = pipeline.recover(started, context, epochs=1)
        with tempfile.TemporaryDirectory() as folder:
            writer.write(started, Path(folder), data=context.data, task=IMAGE_CLASSIFICATION)
    except CompressError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _images(network: Network) -> ImageData:
    generator = torch.Generator().manual_seed(0)

    def split() -> Images:
        x_NCHW = torch.randn(_IMAGES, *network.input_shape, generator=generator)
        y_N = torch.randint(network.num_classes, (_IMAGES,), generator=generator)
        return Images(x_NCHW=x_NCHW, y_N=y_N)

    train = split()
    return ImageData(
        train=train,
        validation=split(),
        test=None,
        num_classes=network.num_classes,
    )
