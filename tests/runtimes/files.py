"""Small networks trained on images made by code, as files of every form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, ValueInfoProto, helper

from compress import pipeline
from compress.conversion import convert, decoding
from compress.export import writer
from compress.network.families.catalog import Architecture
from compress.network.families.ds_cnn.config import DsCnn
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.network.sources import family
from compress.targets.registry import PROVEN
from compress.tasks import loading
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.training.context import TrialContext
from compress.training.loop import TrainingPlan, fit

SIDE, CLASSES = 16, 10
IMAGES = 500
"""Of which answers are compared."""
_TRAINED_ON, _EPOCHS = 1500, 4
NETWORKS: Mapping[str, Architecture] = {
    "ResNet": Residual(widths=(16, 32), depths=(1, 1)),
    "depthwise": DsCnn(channels=32, depth=3, stem_kernel=(3, 3), stem_stride=(1, 1)),
}
CHANGES: Mapping[str, list[dict[str, object]]] = {
    "float": [],
    "zeros": [{"technique": "sparsity", "sparsity": 0.6}],
    "zeros, 8 bits": [
        {"technique": "sparsity", "sparsity": 0.6},
        {"technique": "quantization"},
    ],
    **{
        f"{bits} bits": [{"technique": "quantization", "weight_bits": bits}]
        for bits in (8, 4, 3, 2)
    },
    "4 bits in float": [{"technique": "quantization", "weight_bits": 4, "activations": "float"}],
}
AS_MADE, PLAIN = "onnxruntime", "plain"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of one form, and the constants that it decodes as a file of their own."""

    network: str
    changes: str
    form: str
    path: Path

    @property
    def name(self) -> str:
        """How it is called in reports."""
        return f"{self.network}, {self.changes}, {self.form}"


def images() -> ImageData:
    """Ten smooth patterns, shifted, and under so much noise that some answers are close."""
    random = np.random.default_rng(0)
    coarse = random.normal(size=(CLASSES, 3, 4, 4)).repeat(4, axis=2).repeat(4, axis=3)
    labels = np.arange(_TRAINED_ON + IMAGES) % CLASSES
    shifts = random.integers(0, 4, len(labels))
    shown = np.stack([np.roll(coarse[k], s, axis=2) for k, s in zip(labels, shifts, strict=True)])
    values = 128 + 30 * shown + 110 * random.normal(size=shown.shape)
    x_NCHW = torch.from_numpy(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    y_N = torch.from_numpy(labels.astype(np.int64))
    return ImageData(
        train=Images(x_NCHW=x_NCHW[:_TRAINED_ON], y_N=y_N[:_TRAINED_ON]),
        validation=Images(x_NCHW=x_NCHW[_TRAINED_ON:], y_N=y_N[_TRAINED_ON:]),
        test=None,
        num_classes=CLASSES,
    )


def written(folder: Path) -> list[File]:
    """Train every network and write it, changed in every way, in every proven form."""
    data = images()
    context = TrialContext(data=data, device=torch.device("cpu"), seed=0, task=IMAGE_CLASSIFICATION)
    found: list[File] = []
    for name, architecture in NETWORKS.items():
        network = _trained(architecture, data)
        for changes, steps in CHANGES.items():
            candidate = Candidate.model_validate({"steps": steps})
            made = pipeline.start(network, candidate, context)
            artifact = writer.write(made, folder, data=data, task=IMAGE_CLASSIFICATION)
            found += forms(artifact.path.read_bytes(), folder, network=name, changes=changes)
    return found


def forms(measured: bytes, folder: Path, *, network: str, changes: str) -> Iterator[File]:
    """Write a measured file in the form of every target."""
    for target in PROVEN:
        path = folder / f"{network}, {changes}, {target.name}.onnx"
        path.write_bytes(convert.convert(measured, target))
        yield File(network=network, changes=changes, form=target.name, path=path)


def _trained(architecture: Architecture, data: ImageData) -> Network:
    network = family.fresh(
        architecture,
        normalisation=loading.sample_statistics(data.train),
        input_shape=data.input_shape,
        num_classes=data.num_classes,
        seed=0,
    )
    plan = TrainingPlan(epochs=_EPOCHS, seed=0, batch_size=50, augment="none")
    return fit(network, data.train, plan, device=torch.device("cpu"))[0]


def constants(path: Path) -> tuple[ModelProto, list[np.ndarray]] | None:
    """Return a file's decoders as a file without inputs, and what they decode to, in order.

    None if there is nothing to decode.
    """
    model = onnx.load(path)
    early, late = decoding.split(model)
    read = {name for node in late for name in node.input}
    names = [name for node in early for name in node.output if name in read]
    if not names:
        return None
    values = decoding.computed(model, early, names)
    del model.graph.node[:], model.graph.input[:], model.graph.output[:]
    del model.graph.value_info[:]
    model.graph.node.extend(early)
    model.graph.output.extend(port(name, values[name]) for name in names)
    return model, [values[name] for name in names]


def port(name: str, values: np.ndarray) -> ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    return helper.make_tensor_value_info(name, kind, values.shape)
