"""How long one candidate's graph takes to write, beside torch's exporter.

``python -m benchmarks export_time``: a network of every family loses 30 % of its channels and its
BatchNorm is folded. Then it is written as the float graph from which all files start, and by
``torch.onnx.export`` as it was before (TorchScript, opset 17, raised to 21). CPU seconds of one
thread, the least of several runs that take turns.
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable

import onnx
import torch
from onnx import ModelProto, version_converter

from benchmarks.record import Table, keeps
from compress import pipeline
from compress.export import writer
from compress.network import folding
from compress.network.families.catalog import Architecture
from compress.network.families.ds_cnn.config import DsCnn
from compress.network.families.efficientnet.config import EfficientNet
from compress.network.families.mobilenet_v2.config import MobileNetV2
from compress.network.families.mobilenet_v3.config import MobileNetV3
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.residual.config import Residual
from compress.network.families.resnet.config import ResNet
from compress.network.families.shufflenet_v2.config import ShuffleNetV2
from compress.network.families.vgg_bn.config import VggBn
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.sources import family
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.filter_pruning.config import FilterPruning
from compress.training.context import TrialContext

SHAPE, CLASSES, RUNS = (3, 32, 32), 10, 5
LEAST = 3.0
"""How many times faster than torch's exporter every network must be written."""
NETWORKS: tuple[Architecture, ...] = (
    Residual(),
    ResNet(),
    MobileNetV2(),
    MobileNetV3(),
    ShuffleNetV2(),
    EfficientNet(),
    NasBench201(),
    VggBn(pool=1, hidden=0),
    DsCnn(),
)


@keeps(
    "engine/export_time",
    "How long does one candidate's graph take to write?",
    headline=("shufflenet_v2", "vgg_bn"),
)
def main(table: Table) -> None:
    """Print a row per family."""
    torch.set_num_threads(1)
    print("family           parameters    ours s   torch s   times", flush=True)
    for architecture in NETWORKS:
        network = _candidate(architecture)
        parameters = sum(parameter.numel() for parameter in network.module.parameters())
        ours, theirs = _least(
            lambda n=network: writer.float_graph(n), lambda n=network: by_torch(n)
        )
        name = architecture.family
        print(f"{name:15} {parameters:11,}  {ours:8.4f}  {theirs:8.3f}  {theirs / ours:6.1f}")
        table.add(
            {
                "network": name,
                "parameters": parameters,
                "written, CPU s": round(ours, 4),
                "torch.onnx.export, CPU s": round(theirs, 3),
                "times faster": round(theirs / ours, 1),
            }
        )
        if theirs < LEAST * ours:
            raise SystemExit(f"{name} is written only {theirs / ours:.1f} times faster")


def by_torch(network: Network) -> ModelProto:
    """The graph of the network as torch's exporter writes it."""
    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            network.module.eval(),
            (torch.zeros(2, *network.input_shape),),
            buffer,  # pyright: ignore[reportArgumentType] (any writable file will do)
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            opset_version=17,
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}},
        )
    return version_converter.convert_version(onnx.load_from_string(buffer.getvalue()), 21)


def _candidate(architecture: Architecture) -> Network:
    network = family.fresh(
        architecture,
        normalisation=Normalisation(mean=(0.5,) * 3, std=(0.25,) * 3),
        input_shape=SHAPE,
        num_classes=CLASSES,
        seed=0,
    )
    step = FilterPruning(scope="uniform", ratio=0.3)
    made = pipeline.start(network, Candidate(steps=(step,)), _context())
    folded, _ = folding.fold(made.network, {})
    return folded


def _context() -> TrialContext:
    x_NCHW = torch.rand(64, *SHAPE, generator=torch.Generator().manual_seed(0))
    part = Images(x_NCHW=x_NCHW, y_N=torch.arange(64) % CLASSES)
    data = ImageData(train=part, validation=part, test=None, num_classes=CLASSES)
    return TrialContext(data=data, device=torch.device("cpu"), seed=0, task=IMAGE_CLASSIFICATION)


def _least(*actions: Callable[[], ModelProto]) -> list[float]:
    """CPU seconds of each action: the least of several runs, which take turns."""
    seconds: list[list[float]] = [[] for _ in actions]
    for _ in range(RUNS):
        for own, act in zip(seconds, actions, strict=True):
            start = time.process_time()
            act()
            own.append(time.process_time() - start)
    return [min(own) for own in seconds]


if __name__ == "__main__":
    main()
