"""Where integer kernels and the graph as written part; ``make bench`` runs it.

A file with 8-bit activations runs twice on the same images: as it will, with fused integer kernels,
and node by node as written, in float arithmetic. For every kind of kernel the table says on how
many images it was the first to give another value, and how often it does where all before it
agreed: it has rounded a near tie to the other side. Everything behind follows from that.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from benchmarks.data import cifar
from benchmarks.record import Cell, Table, keeps
from compress import pipeline
from compress.evaluation import runtime
from compress.export import writer
from compress.network.signature import INPUT
from compress.tasks.images import ImageData
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.training.context import TrialContext

Steps = list[dict[str, object]]
_IMAGES = 500
_BATCH = 100


def _free(steps: Steps) -> Steps:
    return [*steps[:-1], steps[-1] | {"short_scales": False}]


_HALF_ZEROS: Steps = [
    {"technique": "sparsity", "sparsity": 0.5},
    {"technique": "quantization", "weight_bits": 4},
]
_MIXED: Steps = [
    {
        "technique": "quantization",
        "weight_bits": 3,
        "extra_bits": 0.5,
        "allocation": "sensitivity",
        "rounding": "gptq",
    }
]
_W8: Steps = [{"technique": "quantization"}]
CANDIDATES = {
    "8 bits, free scales": _free(_W8),
    "50 % zeros, 4 bits, free scales": _free(_HALF_ZEROS),
    "3.5 bits by sensitivity, free scales": _free(_MIXED),
    "8 bits": _W8,
    "50 % zeros, 4 bits": _HALF_ZEROS,
    "3.5 bits by sensitivity": _MIXED,
}


@keeps(
    "engine/resnet20_flips",
    "How many of 5,000 answers do integer kernels give otherwise than the graph in float?",
    seeds=(0,),
    headline=("8 bits, free scales", "8 bits"),
)
def main(table: Table) -> None:
    """Every candidate with free and with short scales."""
    torch.set_num_threads(1)
    data = cifar.images(train_images=10_000)
    context = TrialContext(data=data, device=torch.device("cpu"), seed=0, task=IMAGE_CLASSIFICATION)
    network = cifar.network()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, steps in CANDIDATES.items():
            candidate = Candidate.model_validate({"steps": steps})
            path = writer.write(
                pipeline.start(network, candidate, context),
                folder,
                data=data,
                task=IMAGE_CLASSIFICATION,
            ).path
            table.add(compare(label, path, data))


def compare(label: str, path: Path, data: ImageData) -> dict[str, Cell]:
    """One line about all images, then one per kind of kernel that was the first to differ."""
    images = data.validation
    fused_NK, written_NK = (
        runtime.answers(runtime.session(path, optimise=optimise), images.x_NCHW)
        for optimise in (True, False)
    )
    sorted_NK = np.sort(written_NK, axis=1)
    margin_N = (sorted_NK[:, -1] - sorted_NK[:, -2]) / (written_NK.max() - written_NK.min())
    flipped_N = fused_NK.argmax(1) != written_NK.argmax(1)
    accuracy = (fused_NK.argmax(1) == images.y_N.numpy()).mean()
    equal = (fused_NK == written_NK).all(axis=1).mean()
    largest = f"{margin_N[flipped_N].max():.2%}" if flipped_N.any() else "none"
    print(
        f"{label:40} {path.stat().st_size:9,} B  accuracy {accuracy:.2%}  "
        f"flips {flipped_N.sum():3} of {len(images):,}, largest margin {largest} "
        f"(median of all {np.median(margin_N):.0%}); all logits equal on {equal:.2%}",
        flush=True,
    )
    _show_first(path, data)
    return {
        "candidate": label,
        "bytes": path.stat().st_size,
        "flips": int(flipped_N.sum()),
        "largest margin": largest,
        "logits equal to the bit": f"{equal:.2%}",
        "accuracy": f"{accuracy:.2%}",
    }


def _show_first(path: Path, data: ImageData) -> None:
    """By kind of kernel: on how many images it was the first to round a value otherwise."""
    kernels, fused, written = _values(path, data)
    equal_N = np.ones(len(fused[0]), dtype=bool)
    first: dict[str, list[str]] = defaultdict(list)
    images: dict[str, int] = defaultdict(int)
    for place, (kernel, ours, theirs) in enumerate(zip(kernels, fused, written, strict=True)):
        differs = (ours != theirs).reshape(len(ours), -1)
        new = differs[equal_N]
        if new.any():
            first[kernel].append(f"{place}: {new.mean() * 1e6:.1f}")
            images[kernel] += int(new.any(axis=1).sum())
        equal_N &= ~differs.any(axis=1)
    for kernel, places in first.items():
        print(
            f"    {kernel} is the first to differ on {images[kernel]} of {len(equal_N)} images; "
            f"values in a million by place in the graph: {', '.join(places)}",
            flush=True,
        )


def _values(
    path: Path, data: ImageData
) -> tuple[list[str], list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """The kernel behind every grid, and the integers on it, fused and as written."""
    written = onnx.load(path)
    dumped = path.with_name("executed.onnx")
    options = _quiet()
    # Without the last level, which turns tensors around and renames them.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(dumped)
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    executed = onnx.load(dumped)
    kernels = {name: node.op_type for node in executed.graph.node for name in node.output}
    grids = [node.output[0] for node in written.graph.node if node.op_type == "QuantizeLinear"]
    shared = [name for name in grids if name in kernels]
    return (
        [kernels[name] for name in shared],
        _outputs(executed, shared, data),
        _outputs(written, shared, data),
    )


def _outputs(model: ModelProto, names: Sequence[str], data: ImageData) -> list[NDArray[np.uint8]]:
    watched = ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.UINT8, None) for name in names
    )
    options = _quiet()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    opened = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    batches = [
        opened.run(list(names), {INPUT: runtime.raw(chunk)})
        for chunk in data.validation.x_NCHW[:_IMAGES].split(_BATCH)
    ]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def _quiet() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return options


if __name__ == "__main__":
    main()
