"""What every technique promises, as cases: small configs on small networks of four kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor

from compress import pipeline
from compress.evaluation import runtime
from compress.export import views, writer
from compress.network import folding, layers
from compress.network.families.network import build
from compress.network.families.residual.config import Residual
from compress.network.folding import Stored
from compress.network.network import Artifact, Network
from compress.network.sources.family import FamilyMembers
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.compressed import CompressedModel
from compress.techniques.family_member.config import FamilyMember
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.low_rank.config import LowRank
from compress.techniques.mirroring.config import Mirroring
from compress.techniques.quantization.config import Quantization
from compress.techniques.registry import TechniqueConfig
from compress.techniques.sparsity.config import Sparsity
from compress.techniques.training.adjusted_loss.config import AdjustedLoss
from compress.techniques.training.distillation.config import Distillation
from compress.techniques.weight_sharing.config import WeightSharing
from compress.training import constraints, inference, loop
from compress.training.context import TrialContext
from compress.training.loop import TrainingPlan
from compress.values import versions
from compress.values.latency.latency import Latency
from compress.values.measurement import Measurement, Parity
from featherweight.specs import manifest
from tests.compress.conftest import NORMALISATION
from tests.compress.networks import Normalised, Separable, imported, seeded
from tests.devices import DEVICE

CLASSES = 5
FAMILY = ("residual with conv shortcuts", "residual with pad shortcuts")
NETWORKS = (*FAMILY, "depthwise-separable", "layer-normalised")
# One layer of each kind of network that nothing else must follow when it is left alone.
SPARED = dict(zip(NETWORKS, ("layer1.0.conv1", "layer1.0.conv1", "head", "wide"), strict=True))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A config that does something on every network, and one of the same technique that cannot."""

    name: str
    config: TechniqueConfig
    idle: TechniqueConfig

    @property
    def technique(self) -> str:
        return self.config.technique


CASES = (
    Case(name="half the width", config=FamilyMember(width=0.5), idle=FamilyMember()),
    Case(
        name="half the channels",
        config=FilterPruning(scope="uniform", ratio=0.5),
        idle=FilterPruning(scope="uniform", ratio=0),
    ),
    Case(name="thinner layers", config=LowRank(energy=0.6), idle=LowRank(energy=1)),
    Case(
        name="a teacher's logits",
        config=Distillation(temperature=2, weight=0.7),
        idle=Distillation(weight=0),
    ),
    Case(
        name="a teacher's features",
        config=Distillation(weight=0.3, loss="mse", features="relational"),
        idle=Distillation(weight=0, features="hints", feature_weight=0),
    ),
    Case(name="a margin", config=AdjustedLoss(margin=1.0), idle=AdjustedLoss()),
    Case(name="60 % zeros", config=Sparsity(sparsity=0.6), idle=Sparsity(sparsity=0)),
    Case(
        name="2:4 zeros",
        config=Sparsity(pattern="2:4", criterion="wanda"),
        idle=Sparsity(sparsity=0, scope="row"),
    ),
    Case(
        name="codebooks of 3 bits",
        config=WeightSharing(index_bits=3),
        idle=WeightSharing(index_bits=0),
    ),
    Case(
        name="codebooks per layer",
        config=WeightSharing(index_bits=2, normalise="layer", centroids="reclustered"),
        idle=WeightSharing(index_bits=0, normalise="layer"),
    ),
    Case(
        name="8 bits, integer kernels",
        config=Quantization(),
        idle=Quantization(exclude="*", activations="float"),
    ),
    Case(
        name="4 bits, integer kernels",
        config=Quantization(weight_bits=4, training="lsq", edges_8bit=False),
        idle=Quantization(weight_bits=4, exclude="*", activations="float"),
    ),
    Case(
        name="16 bits",
        config=Quantization(weight_bits=16, activations="float"),
        idle=Quantization(weight_bits=16, exclude="*", activations="float"),
    ),
    Case(
        name="3 bits in groups, float activations",
        config=Quantization(
            weight_bits=3, activations="float", granularity="group", rounding="gptq"
        ),
        idle=Quantization(weight_bits=3, exclude="*", activations="float"),
    ),
    Case(name="two views", config=Mirroring(), idle=Mirroring(flip="none")),
    Case(name="four views", config=Mirroring(flip="both"), idle=Mirroring(flip="none")),
)


def five_classes(digits: ImageData) -> ImageData:
    """The digits modulo 5: every network of the tests has five classes."""
    return ImageData(
        train=Images(x_NCHW=digits.train.x_NCHW[:640], y_N=digits.train.y_N[:640] % CLASSES),
        validation=replace(digits.validation, y_N=digits.validation.y_N % CLASSES),
        test=None,
        num_classes=CLASSES,
    )


def trained(name: str, data: ImageData) -> Network:
    """One of the networks, trained far enough to answer, and with room to learn more."""
    plan = TrainingPlan(
        epochs=10 if name in FAMILY else 40, seed=0, batch_size=64, precision="fp32"
    )
    return loop.fit(fresh(name), data.train, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)[0]


def fresh(name: str) -> Network:
    """One of the networks, untrained."""
    if name in FAMILY:
        shortcut = "conv" if "conv" in name else "pad"
        shape = Residual(widths=(8, 16), depths=(2, 1), shortcut=shortcut)
        module = build(shape, in_channels=1, num_classes=CLASSES, seed=0)
        return Network(
            module=module, normalisation=NORMALISATION, input_shape=(1, 8, 8), num_classes=CLASSES
        )
    kind = partial(Separable, 24, 48) if name == "depthwise-separable" else Normalised
    return imported(replace(seeded(kind), normalisation=NORMALISATION))


@dataclass(frozen=True)
class Made:
    """A candidate on its way: started, written, recovered for an epoch, written again."""

    network: Network
    candidate: Candidate
    data: ImageData
    folder: Path
    seed: int = 0

    @cached_property
    def context(self) -> TrialContext:
        # With no right answers every recovery is as good as none, and so it is never dropped.
        nobody_N = torch.full_like(self.data.validation.y_N, -1)
        data = replace(self.data, validation=replace(self.data.validation, y_N=nobody_N))
        return TrialContext(
            members=FamilyMembers(),
            data=data,
            device=DEVICE,
            seed=self.seed,
            teacher=self.network,
            task=IMAGE_CLASSIFICATION,
        )

    @cached_property
    def start(self) -> CompressedModel:
        return pipeline.start(self.network, self.candidate, self.context)

    @cached_property
    def file(self) -> Artifact:
        return writer.write(
            self.start, self.folder, data=self.data, name="start", task=IMAGE_CLASSIFICATION
        )

    @cached_property
    def recovered(self) -> CompressedModel:
        return pipeline.recover(self.start, self.context, epochs=1)

    @cached_property
    def recovered_file(self) -> Artifact:
        return writer.write(
            self.recovered, self.folder, data=self.data, name="recovered", task=IMAGE_CLASSIFICATION
        )

    @property
    def stages(self) -> Iterator[tuple[CompressedModel, Artifact]]:
        """Before and after the recovery."""
        yield self.start, self.file
        yield self.recovered, self.recovered_file

    def again(self, folder: Path) -> Made:
        """The same from scratch."""
        folder.mkdir(exist_ok=True)
        return Made(self.network, self.candidate, self.data, folder, self.seed)


def simulated(compressed: CompressedModel, x_NCHW: Tensor) -> NDArray[np.float32]:
    """What torch says the file will answer on raw images."""
    answer = partial(inference.logits, compressed.network, device=DEVICE)
    return views.mean(answer, x_NCHW, views.of(compressed)).numpy()


def shipped(compressed: CompressedModel) -> tuple[Network, Mapping[str, Stored]]:
    """The network as its file is to hold it."""
    quantization = compressed.step(Quantization)
    short = quantization is not None and quantization.shortens
    folded = folding.fold(*constraints.bake(compressed.network))
    return folding.shorten(*folded) if short else folded


def written(
    compressed: CompressedModel, artifact: Artifact
) -> tuple[Network, Mapping[str, Stored]]:
    """The network as that file holds it: with 7 of 8 bits where its notes say so."""
    network, stored = shipped(compressed)
    if not any("of 8 bits have 7 in this file" in note for note in artifact.notes):
        return network, stored
    halved = writer.Shipping.of(network, stored).reduced().stored
    for layer in layers.weighted(network):
        if layer.name in halved:
            values = torch.from_numpy(halved[layer.name].values())
            layer.module.weight.data.copy_(values)
    return network, {name: halved[name] for name in stored}


def weights_of_file(path: Path, compressed: CompressedModel) -> dict[str, NDArray[np.float32]]:
    """The weights that the file decodes, node by node, by the names of the network's layers."""
    model = onnx.load(path)
    nodes = [n for n in model.graph.node if n.op_type in {"Conv", "Gemm", "MatMul"}]
    names = [f"decoded{index}" for index in range(len(nodes))]
    model.graph.node.extend(
        helper.make_node("Identity", [node.input[1]], [name])
        for node, name in zip(nodes, names, strict=True)
    )
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    opened = runtime.session(model.SerializeToString(), optimise=False)
    x_NCHW = np.zeros((1, *compressed.network.input_shape), np.float32)
    values = runtime.outputs(opened, names, x_NCHW=x_NCHW)
    found = layers.weighted(shipped(compressed)[0])
    return {
        layer.name: value.T if _is_transposed(node) else value
        for layer, node, value in zip(found, nodes, values, strict=True)
    }


def _is_transposed(node: onnx.NodeProto) -> bool:
    if node.op_type == "Gemm":
        return not any(a.name == "transB" and a.i for a in node.attribute)
    return node.op_type == "MatMul"


def integers_executed(path: Path, folder: Path) -> list[NDArray[np.int_]]:
    """The integer weights that ONNX Runtime multiplies with, once it has fused what it can."""
    runtime.session(path, dump=folder / "executed.onnx")
    graph = onnx.load(folder / "executed.onnx").graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type in {"QLinearConv", "QGemm"}]
    return [numpy_helper.to_array(tensors[node.input[3]]).astype(int) for node in nodes]


def clear_flips(answers_NK: NDArray[np.float32], expected_NK: NDArray[np.float32]) -> int:
    """Images that change class though the second best was at least 1 % of the spread behind.

    Kernels round biases to the weights' grid times the inputs': with 4-bit weights that is coarse.
    """
    tie = 0.01 * float(expected_NK.max() - expected_NK.min())
    same = IMAGE_CLASSIFICATION.agreement(answers_NK, expected_NK, tie=tie)
    return round((1 - same) * len(answers_NK))


def runs_in_integers(compressed: CompressedModel) -> bool:
    quantization = compressed.step(Quantization)
    return quantization is not None and quantization.activations == "int8"


def manifest_of(candidate: Candidate) -> manifest.Manifest:
    return manifest.Manifest(
        candidate=candidate,
        candidate_digest=candidate.digest(),
        architecture=Residual(),
        origin=manifest.Origin(job="j", trial=0, rung=0, epochs=0, seed=0, data_sha256="ab" * 32),
        input=manifest.Input(shape=(1, 8, 8), normalisation=NORMALISATION),
        num_classes=CLASSES,
        measurement=Measurement(
            accuracy={"validation": 0.5},
            size_bytes=1,
            parameters=1,
            macs=1,
            latency=Latency(median_ms=0.1, p95_ms=0.2, threads=1, batch=1),
            parity=Parity(max_abs_error=0.0, agreement=1.0, images=1),
        ),
        file_sha256="cd" * 32,
        file_bytes=1,
        versions=versions.collect(),
    )
