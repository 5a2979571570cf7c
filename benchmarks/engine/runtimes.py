"""The published ResNet-20 and a depthwise network in every form, in old and new runtimes.

``python -m benchmarks runtimes``: each runtime in an environment of its own (``make runtimes``), on
one thread, the 10 % quantile of CPU time over the float network's in turns. Of ResNet-20 answers to
500 test images are compared, too; the depthwise network is not trained.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.data import cifar
from benchmarks.engine.target_bytes import CANDIDATES
from benchmarks.record import Cell, Table, keeps
from compress import pipeline
from compress.export import writer
from compress.network.families.ds_cnn.config import DsCnn
from compress.network.network import Network
from compress.network.sources import family
from compress.tasks.images import ImageData
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.training.context import TrialContext
from tests.runtimes import files, matrix
from tests.runtimes.environments import PROVEN, REFERENCE
from tests.runtimes.files import AS_MADE, PLAIN, File

MOST = 0.6
"""Of the float network's time, for 8-bit activations in every version of ONNX Runtime."""
MOST_DEPTHWISE = 1.05
"""Of the plain form's ratio, for the portable form of the depthwise network."""
RESNET, DEPTHWISE = "ResNet-20", "depthwise"
_IMAGES = 500
_CHANGES: Mapping[str, list[dict[str, object]]] = {"float": [], **CANDIDATES}
_IN_FLOAT = {"float", "60 % zeros"}


@keeps(
    "engine/runtimes",
    "What loads, and at what time over the float network's (load ms, peak MB), in every runtime?",
    seeds=(0,),
)
def main(table: Table) -> None:
    """Print a row per file. Raises SystemExit where a form is wrong or slow."""
    torch.set_num_threads(1)
    data = cifar.images(train_images=10_000)
    environments = [each for each in PROVEN if each != REFERENCE]
    with tempfile.TemporaryDirectory() as name:
        made = [*_written(RESNET, cifar.network(), data, name)]
        made += _written(DEPTHWISE, _depthwise(data), data, name)
        images = data.validation.x_NCHW[:_IMAGES]
        cells = matrix.run(environments, made, Path(name), x_NCHW=images)
        told = [row for row in matrix.rows(cells) if not row["name"].endswith("constants")]
        wrong = matrix.problems([cell for cell in cells if _is_trained(cell)])
    for file in made:
        own = {row["runtime"]: _said(row) for row in told if row["name"] == file.name}
        table.add({"file": file.name, **own})
        print(file.name, own, flush=True)
    if found := [*wrong, *_slow(told)]:
        raise SystemExit("\n".join(found))


def _written(name: str, network: Network, data: ImageData, folder: str) -> Iterator[File]:
    context = TrialContext(data=data, device=torch.device("cpu"), seed=0, task=IMAGE_CLASSIFICATION)
    for changes, steps in _CHANGES.items():
        made = pipeline.start(network, Candidate.model_validate({"steps": steps}), context)
        artifact = writer.write(made, Path(folder), data=data, task=IMAGE_CLASSIFICATION)
        measured = artifact.path.read_bytes()
        yield from files.forms(measured, Path(folder), network=name, changes=changes)


def _depthwise(data: ImageData) -> Network:
    return family.fresh(
        DsCnn(stem_kernel=(3, 3), stem_stride=(1, 1)),
        normalisation=cifar.NORMALISATION,
        input_shape=data.input_shape,
        num_classes=data.num_classes,
        seed=0,
    )


def _is_trained(cell: matrix.Cell) -> bool:
    """Answers of a network that was not trained are all close: only its constants are judged."""
    return cell.name.startswith(RESNET) or "answers" not in cell.told


def _said(row: Mapping[str, object]) -> Cell:
    if "error" in row:
        return "refuses"
    megabytes = float(str(row.get("peak_bytes", "nan"))) / 1e6
    return f"{row['ratio']} ({row['load_ms']:.0f} ms, {megabytes:.0f} MB)"


def _slow(told: Sequence[Mapping[str, object]]) -> Iterator[str]:
    ratios = {
        (row["runtime"], row["name"]): float(str(row["ratio"])) for row in told if "ratio" in row
    }
    for (runtime, name), ratio in ratios.items():
        network, _, rest = str(name).partition(", ")
        changes, _, form = rest.rpartition(", ")
        if form == AS_MADE or changes in _IN_FLOAT or not str(runtime).startswith("onnxruntime"):
            continue
        if network == RESNET and ratio > MOST:
            yield f"{runtime}: {name} takes {ratio} of the float network's time"
        plain = ratios[runtime, f"{network}, {changes}, {PLAIN}"]
        if network == DEPTHWISE and ratio > MOST_DEPTHWISE * plain:
            yield f"{runtime}: {name} takes {ratio}, its plain form {plain}"


if __name__ == "__main__":
    main()
